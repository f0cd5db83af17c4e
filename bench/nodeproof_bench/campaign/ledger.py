"""The tasks and jobs of one campaign in memory, each change written to the book first. For its one controller."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from nodeproof.verdict import harmless
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import FINAL_JOB_STATES, FINAL_TASK_STATES, Job, Task
from nodeproof_bench.campaign.job_names import JobName

#: How often a task is tried: once, and twice more.
MOST_ATTEMPTS = 3

#: Tasks in one of these states have a job, or may have one.
ACTIVE = frozenset({"submitting", "queued", "running"})


class Ledger:
    """What the book says of one campaign, and what its controller makes of it. `say` is told what fails."""

    def __init__(self, book: Book, campaign_id: str, say: Callable[[str], None] = lambda _: None) -> None:
        self.book = book
        self._say = say
        self.campaign_id = campaign_id
        self.tasks = {task.task: task for task in book.tasks(campaign_id)}
        self._jobs = {(job.task, job.attempt, job.node): job for job in book.jobs(campaign_id)}

    def jobs_of(self, task: Task) -> list[Job]:
        """Return the jobs of a task's last attempt, in the order of its nodes."""
        keys = [(task.task, task.attempts, node) for node in task.nodes]
        return [self._jobs[key] for key in keys if key in self._jobs]

    def active(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.state in ACTIVE]

    def waiting(self) -> list[Task]:
        """Return the tasks that are still to be done, in their order; what failed before comes last in its phase."""
        phases = {phase: n for n, phase in enumerate(dict.fromkeys(task.phase for task in self.tasks.values()))}
        found = (task for task in self.tasks.values() if task.state == "waiting")
        return sorted(found, key=lambda task: (phases[task.phase], task.attempts, task.task))

    def is_over(self) -> bool:
        return all(task.state in FINAL_TASK_STATES for task in self.tasks.values())

    def counts(self) -> Counter[str]:
        return Counter(task.state for task in self.tasks.values())

    def begin(self, task: Task, now: float) -> Task | None:
        """Begin another attempt: its jobs are in the book before they are in Slurm. None in a cancelled campaign."""
        begun = task._replace(state="submitting", attempts=task.attempts + 1)
        jobs = [
            Job(
                self.campaign_id,
                task.task,
                begun.attempts,
                node,
                str(JobName(self.campaign_id, task.task, begun.attempts, node)),
                submitted_at=now,
            )
            for node in task.nodes
        ]
        if not self.book.begin_attempt(begun, jobs):
            return None
        self._remember(begun, jobs)
        return begun

    def follow(self, task: Task, jobs: Sequence[Job], why: str = "") -> Task:
        """Keep what became of the jobs of a task's last attempt, and what follows for the task, in one step.

        An attempt that failed is tried again, up to two times.
        """
        followed = task._replace(state=state_of(jobs), why=why or task.why)
        if followed.state == "done":
            followed = followed._replace(why=why)
        if followed.state == "failed":
            is_last = task.attempts >= MOST_ATTEMPTS
            more = f"given up after {MOST_ATTEMPTS} attempts" if is_last else f"attempt {task.attempts + 1} follows"
            followed = followed._replace(state="failed" if is_last else "waiting")
            self._say(f"{task.phase} on {' and '.join(task.nodes)} failed: {harmless(followed.why, 300)}; {more}")
        changed = [job for job in jobs if job != self._jobs.get((job.task, job.attempt, job.node))]
        if changed or followed != self.tasks[task.task]:
            self.book.set_jobs(followed, changed)
            self._remember(followed, changed)
        return followed

    def end(self, tasks: Sequence[Task], state: str, why: str) -> None:
        """End tasks that are waiting, without another attempt."""
        ended = [task._replace(state=state, why=why) for task in tasks]
        self.book.set_tasks(ended)
        for task in ended:
            self.tasks[task.task] = task

    def add(self, tasks: Sequence[Task]) -> None:
        self.book.add_tasks(tasks)
        self.tasks |= {task.task: task for task in tasks}

    def _remember(self, task: Task, jobs: Iterable[Job]) -> None:
        self.tasks[task.task] = task
        self._jobs |= {(job.task, job.attempt, job.node): job for job in jobs}


def state_of(jobs: Sequence[Job]) -> str:
    """Return the state of a task that is at work, from those of its jobs."""
    states = {job.state for job in jobs}
    if states <= FINAL_JOB_STATES:
        return "done" if states == {"done"} else "failed"
    return next(state for state in ("submitting", "queued", "running") if state in states)

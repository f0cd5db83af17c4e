"""What counters did while a job ran: by marks of the gate, and readings that came after them."""

from nodeproof.daemon.jobs import MOST_JOBS, MOST_OTHERS, Jobs, Share
from nodeproof.daemon.marks import Mark
from nodeproof.events.ledger import CounterSeries

BOOT = "this-boot"


def mark(kind: str, job_id: int, at_ns: int, boot_id: str = BOOT) -> Mark:
    return Mark(kind, job_id, at_ns, boot_id)


def errors(count: int) -> tuple[CounterSeries, ...]:
    points = ((50.0, count),) if count else ()
    return (CounterSeries("ib.symbol_errors", "ib:mlx5_0/1", 0.0, 100.0, count, points),)


def test_a_job_is_told_what_was_counted_while_it_ran() -> None:
    jobs = Jobs()
    assert jobs.mark([mark("prolog", 7, 10)], BOOT)
    assert jobs.read(errors(2), 20) == []
    jobs.mark([mark("epilog", 7, 30)], BOOT)

    assert jobs.read(errors(5), 40) == [Share(7, "ib.symbol_errors", "ib:mlx5_0/1", 3, 10, 30, ())]
    assert jobs.read(errors(9), 50) == []


def test_a_reading_that_began_before_a_mark_is_not_the_jobs() -> None:
    jobs = Jobs()
    jobs.mark([mark("prolog", 7, 10)], BOOT)
    jobs.read(errors(0), 5)
    jobs.read(errors(2), 11)
    jobs.mark([mark("epilog", 7, 30)], BOOT)
    assert jobs.read(errors(4), 29) == []

    assert [s.delta for s in jobs.read(errors(6), 31)] == [4]


def test_jobs_that_shared_the_node_name_each_other() -> None:
    jobs = Jobs()
    jobs.mark([mark("prolog", 1, 10), mark("prolog", 2, 11)], BOOT)
    jobs.read(errors(0), 20)
    jobs.mark([mark("epilog", 1, 30), mark("epilog", 2, 31)], BOOT)

    assert [(s.job_id, s.others) for s in jobs.read(errors(1), 40)] == [(1, (2,)), (2, (1,))]


def test_marks_of_another_boot_are_of_jobs_that_are_gone() -> None:
    assert not Jobs().mark([mark("prolog", 7, 10, "another")], BOOT)


def test_epilogs_that_never_come_fill_no_memory() -> None:
    jobs = Jobs()
    for n in range(3 * MOST_JOBS):
        jobs.mark([mark("prolog", n + 1, n)], BOOT)

    assert len(jobs._running) == MOST_JOBS
    assert max(len(job.others) for job in jobs._running.values()) == MOST_OTHERS

"""`nodeproof campaign cancel`: no job is left behind, whatever the controller is doing meanwhile."""

import time

import click

from nodeproof.cli import EXIT_UNKNOWN
from nodeproof.errors import SlurmRejected, SlurmUnreachable
from nodeproof.slurm.answer import Applied, error_of
from nodeproof.slurm.jobs import Listed, cancel, listed
from nodeproof.slurm.rest import Client
from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.book import Book
from nodeproof_bench.campaign.book_rows import FINAL_JOB_STATES, FINAL_TASK_STATES, Campaign, Task
from nodeproof_bench.campaign.job_names import job_name, prefix
from nodeproof_bench.campaign.ledger import Ledger
from nodeproof_bench.campaign.pace import Pace
from nodeproof_bench.campaign.plan_file import plan_from_json
from nodeproof_bench.campaign.planning import site
from nodeproof_bench.campaign.report.opened import find_campaign, open_book
from nodeproof_bench.campaign.submitting import REQUEST_S, SETTLE_S

#: How long jobs may take to end: Slurm waits KillWait, 30 s, before it kills.
_MOST_S = 180.0

_PAUSE_S = 1.0


def cancel_campaign(word: str, directory: str | None, database: str | None, settle_s: float = SETTLE_S) -> int:
    """Cancel a campaign. Returns the exit code."""
    with open_book(database) as book:
        campaign = find_campaign(book, word)
        plan = plan_from_json(campaign.plan)
        pace = Pace(plan.submit.requests_per_s)
        # from here on no controller submits anything
        book.end_campaign(campaign.id, "cancelled", time.time())
        with Client(site(directory).slurm, REQUEST_S, keep_alive=True, wait_turn=pace.wait) as client:
            try:
                count = clear(client, campaign, settle_s)
            except (SlurmUnreachable, SlurmRejected) as error:
                click.echo(f"nodeproof: {harmless(str(error), 300)}: cancel it again when Slurm answers", err=True)
                return EXIT_UNKNOWN
        close(book, campaign)
    click.echo(f"campaign {campaign.id} is cancelled: {plural(count, 'job')} ended, none is left in Slurm")
    return 0


def clear(client: Client, campaign: Campaign, settle_s: float, pause_s: float = _PAUSE_S) -> int:
    """Cancel jobs until twice in a row, some seconds apart, none is found. Returns how many were cancelled."""
    until_s, cancelled, clean_since = time.monotonic() + _MOST_S, set[int](), None
    while True:
        client.renew(REQUEST_S)
        left = _left(client, campaign)
        now_s = time.monotonic()
        if not left:
            clean_since = now_s if clean_since is None else clean_since
            if now_s - clean_since >= settle_s:  # a submission may still be on its way
                return len(cancelled)
        else:
            clean_since = None
            answer = cancel(client, [job.job_id for job in left])
            if not isinstance(answer, Applied) and (error := error_of(answer)) and not cancelled:
                raise error
            cancelled |= {job.job_id for job in left}
        if now_s > until_s:
            raise SlurmUnreachable(f"{plural(len(left), 'job')} did not end in {_MOST_S:.0f} s")
        time.sleep(pause_s)


def _left(client: Client, campaign: Campaign) -> list[Listed]:
    """Return the campaign's jobs that are not over: ours alone, whoever else uses such a name."""
    found = listed(client, prefix(campaign.id))
    mine = (job for job in found if not client.account or job.user_name in {"", client.account})
    return [job for job in mine if not job.state.is_over and job_name(job.name, campaign.id)]


def close(book: Book, campaign: Campaign) -> None:
    """Set what was not over to cancelled."""
    ledger = Ledger(book, campaign.id)
    for task in ledger.tasks.values():
        if task.state not in FINAL_TASK_STATES:
            _cancel_task(book, ledger, task)


def _cancel_task(book: Book, ledger: Ledger, task: Task) -> None:
    now = time.time()
    jobs = [
        job._replace(state="cancelled", ended_at=now)
        for job in ledger.jobs_of(task)
        if job.state not in FINAL_JOB_STATES
    ]
    book.set_jobs(task._replace(state="cancelled", why=task.why or "the campaign was cancelled"), jobs)

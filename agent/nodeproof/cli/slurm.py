"""`nodeproof slurm`: the wiring to Slurm."""

import json
from collections.abc import Iterator, Sequence

import click

from nodeproof import __version__
from nodeproof.doctor.examine import examine
from nodeproof.doctor.finding import Finding
from nodeproof.report import human
from nodeproof.report.document import exit_code
from nodeproof.verdict import Status

SCHEMA = "nodeproof.doctor/1"


@click.group("slurm")
def command() -> None:
    """Check the wiring to Slurm."""


@command.command("doctor")
@click.option("--policy", "policy_directory", help="Directory of policy files.  [default: /etc/nodeproof/policy.d]")
@click.option("--state-dir", help="Where to keep what must outlive a pass.")
@click.option("--node", "node_name", help="Name of this node in Slurm.  [default: policy's, or the short host name]")
@click.option("--read-only", "is_read_only", is_flag=True, help="Write nothing to Slurm, and so try no rights.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
@click.option("-v", "--verbose", "is_verbose", is_flag=True, help="One line for each part that was not looked at, too.")
def doctor(  # noqa: PLR0913, PLR0917  # one parameter for each option
    policy_directory: str | None,
    state_dir: str | None,
    node_name: str | None,
    is_read_only: bool,
    is_json: bool,
    is_verbose: bool,
) -> int:
    """Check all that stands between this node's checks and Slurm, and say what to do about what is broken.

    Policy, state directory, hooks in slurm.conf, token, network, slurmrestd, slurmctld, clocks, rights and the
    guard's budget. To try the rights, what stands in this node's `extra` is written back unchanged; --read-only
    leaves that out.

    Exit code: 0 nothing is broken, 1 something is, 3 something could not be told.
    """
    findings = list(examine(policy_directory, state_dir, node_name, is_read_only=is_read_only))
    code = exit_code(max((f.verdict.status for f in findings), default=Status.OK))
    if is_json:
        click.echo(json.dumps(_document(findings, code), indent=2, default=str))
    else:
        human.write(_rows(findings, is_verbose=is_verbose))
    return code


def _rows(findings: Sequence[Finding], *, is_verbose: bool) -> Iterator[human.Row]:
    """Yield lines in the order of the wiring: the first thing that is broken is often the only one."""
    for finding in findings:
        status = finding.verdict.status
        if status is not Status.SKIP or is_verbose:
            yield human.Row(status.word, finding.name, finding.verdict.summary, human.STYLES[status])
        if status not in {Status.OK, Status.SKIP} and finding.remedy:
            yield human.Row("", "", f"→ {finding.remedy}")
    skipped = [f.name for f in findings if f.verdict.status is Status.SKIP]
    if skipped and not is_verbose:
        yield human.Row(
            Status.SKIP.word, f"{len(skipped)} not looked at", ", ".join(skipped), human.STYLES[Status.SKIP]
        )
    yield human.Row("", "", "")
    yield human.Row("", "", _summary(findings), "bold")


def _summary(findings: Sequence[Finding]) -> str:
    worst = max((f.verdict.status for f in findings), default=Status.OK)
    words = {Status.FAIL: "something is broken", Status.UNKNOWN: "could not tell everything"}.get(worst, "all is wired")
    counts = [
        f"{n} {human.WORDS[status]}"
        for status in sorted(Status, reverse=True)
        if (n := sum(f.verdict.status is status for f in findings))
    ]
    return f"{words}: {', '.join(counts)}"


def _document(findings: Sequence[Finding], code: int) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "nodeproof": __version__,
        "status": max((f.verdict.status for f in findings), default=Status.OK).word,
        "exit_code": code,
        "findings": [
            {
                "id": f.name,
                "status": f.verdict.status.word,
                "summary": f.verdict.summary,
                "evidence": dict(f.verdict.evidence),
                "remedy": f.remedy if f.verdict.status not in {Status.OK, Status.SKIP} else "",
            }
            for f in findings
        ],
    }

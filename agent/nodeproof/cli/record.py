"""`nodeproof record`: keep exactly what the probes read, to replay it with --root."""

import time
from pathlib import Path

import click

from nodeproof.check import registry
from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host, open_host
from nodeproof.host.archive import write
from nodeproof.host.record import Recorder
from nodeproof.probes.identity import Identity


@click.command("record")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--root", default="/", show_default=True, help="Record from a recording or a tree, instead of this node.")
@click.option("--scrub", "is_scrubbed", is_flag=True, help="Replace serial numbers, addresses and host names.")
@click.option("--budget-s", default=60.0, show_default=True, help="Most seconds that all the reading may take.")
@click.option("--deadline-s", default=5.0, show_default=True, help="Most seconds that one question may take.")
def command(out: Path, root: str, is_scrubbed: bool, budget_s: float, deadline_s: float) -> int:
    """Record what the probes read to OUT, a directory or NAME.tar.gz.

    Errors, ioctl and library answers are in it, so `nodeproof check --root OUT` comes to the same verdicts.
    With --scrub, serial numbers, MAC addresses, IP addresses and host names are replaced, each by the
    same invented one wherever it stands, so that a recording can be published.
    """
    facts = list(dict.fromkeys([Identity, *(f for s in registry().values() for f in s.facts)]))
    with Host(Recorder(open_host(root).machine)) as host:
        readings = read_facts(host, facts, deadline_s=deadline_s, until_s=time.monotonic() + budget_s)
    assert isinstance(host.machine, Recorder)
    notes = host.machine.notes
    if is_scrubbed:
        from nodeproof.host.scrub import scrub

        scrub(notes)
    write(notes, out)
    unread = [r.value for r in readings.values() if isinstance(r.value, FactError) and r.value.kind != "absent"]
    for error in unread:
        click.echo(f"not read: {error}", err=True)
    click.echo(f"{out}: {len(notes.files)} files, {len(notes.calls)} calls, {len(notes.errors)} errors recorded")
    return 0

"""Checks that find what a test planted in /run/nodeproof of one node: `fault.prolog` fails `lab.prolog`, and so on."""

from typing import NamedTuple, Self

from nodeproof.check import check
from nodeproof.host import Host
from nodeproof.probes import fact
from nodeproof.verdict import Verdict, fail, ok


@fact("/run/nodeproof/fault.*")
class Planted(NamedTuple):
    """Names of planted faults. A named pipe `slow` keeps whoever reads it waiting."""

    faults: frozenset[str]

    @classmethod
    def read(cls, host: Host) -> Self:
        for pipe in host.glob("/run/nodeproof/slow"):
            host.text(pipe)
        return cls(frozenset(path.rpartition(".")[2] for path in host.glob("/run/nodeproof/fault.*")))


def _judge(planted: Planted, name: str) -> Verdict:
    return fail(f"a fault was planted: {name}") if name in planted.faults else ok("no fault was planted")


@check("lab.both", remedy="Dig it out.", tags="prolog healthcheck")
def both(planted: Planted) -> Verdict:
    """No fault was planted for both hooks."""
    return _judge(planted, "both")


@check("lab.prolog", remedy="Dig it out.", tags="prolog")
def prolog(planted: Planted) -> Verdict:
    """No fault was planted for the prolog alone."""
    return _judge(planted, "prolog")


@check("lab.exclusive", remedy="Dig it out.", tags="prolog healthcheck", interference="exclusive")
def exclusive(planted: Planted) -> Verdict:
    """No fault was planted for a check that a job must not run beside."""
    return _judge(planted, "exclusive")

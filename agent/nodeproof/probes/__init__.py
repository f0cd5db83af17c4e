"""Facts: what a machine is, one subject per file. A fact is an immutable value that reads itself from a Host.

Facts are NamedTuples and not frozen dataclasses because defining one costs 0.14 ms instead of 0.95 ms,
and the prolog pays for all of them. Deliberately not here: any opinion on what was read (`checks/`).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeVar

from nodeproof.host import Host


class Fact(Protocol):
    """What the engine needs of a fact."""

    @classmethod
    def read(cls, host: Host) -> Self:
        """Read the fact. Raises FactError; one with kind `absent` means the machine has no such part."""
        ...


class FactSpec(NamedTuple):
    """What a fact reads, and whether one of its sources is known to hang on broken hardware.

    `library` is what isolated facts share a worker for, if they do.
    """

    sources: tuple[str, ...]
    isolated: bool
    library: str = ""


FACTS: dict[type, FactSpec] = {}

_F = TypeVar("_F")


def fact(*sources: str, isolated: bool = False, library: str = "") -> Callable[[type[_F]], type[_F]]:
    """Declare a fact class and its `sources` (paths, ioctls, library calls; for documentation).

    `isolated` facts are read by a worker of their own, beside the others: those that talk to
    devices, network mounts or vendor libraries, which can take seconds or hang in D state. Those that ask one `library`
    share a worker: to load and initialise it costs more than what is asked.
    """

    def register(cls: type[_F]) -> type[_F]:
        FACTS[cls] = FactSpec(sources, isolated, library)
        return cls

    return register

"""What the rounds gave: one sample per command and round, kept as JSON so that the page can be written again."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from peers.parsers import Figures

#: Above this, the host took too much.
STEAL_SHARE = 0.03

#: The kernel counts busy time in ticks: a short run may look busier by as much without any stranger.
TICKS_S = 0.02

#: Fewer clean values than an interval needs: all are used, and the page says so.
FEWEST = 6


class Sample(NamedTuple):
    """`allowed_cores` is what others might use; `error` says why there are no figures, if so."""

    number: int
    command: str
    text: str
    figures: Figures
    wall_s: float
    foreign_s: float
    steal_s: float
    cores: int
    allowed_cores: float
    error: str = ""

    @property
    def is_clean(self) -> bool:
        foreign_cores = max(0.0, self.foreign_s - TICKS_S) / self.wall_s
        return foreign_cores <= self.allowed_cores and self.steal_s <= STEAL_SHARE * self.wall_s * self.cores + TICKS_S


class Series(NamedTuple):
    """Values by round, and the rounds in which nothing else had the machine."""

    values: dict[int, float]
    clean: frozenset[int]

    @property
    def used(self) -> list[float]:
        """The clean values where they suffice, else all."""
        chosen = self.values.keys() if self.is_doubtful else self.clean
        return [self.values[number] for number in sorted(chosen)]

    @property
    def is_doubtful(self) -> bool:
        return len(self.clean) < min(len(self.values), FEWEST)

    def over(self, other: "Series") -> "Series":
        """Return the ratios of the rounds that both have: what drifts slowly falls out."""
        both = {number: value for number, value in other.values.items() if value and number in self.values}
        ratios = {number: self.values[number] / value for number, value in both.items()}
        return Series(ratios, self.clean & other.clean & ratios.keys())

    def minus_one(self, unit: float = 1) -> "Series":
        """Return by which share the values exceed `unit`."""
        return Series({number: value / unit - 1 for number, value in self.values.items()}, self.clean)


class Samples(NamedTuple):
    """All samples of a session, and what there was to say of it. `lacking`: why a command was never run, by id."""

    about: dict[str, Any]
    lacking: dict[str, str]
    taken: list[Sample]

    def series(self, command: str, figure: str) -> Series | None:
        """Return a figure by round, or None if there is none. `wall_s` is a figure of every command."""
        found = [s for s in self.taken if s.command == command and not s.error]
        values = {
            s.number: s.wall_s if figure == "wall_s" else s.figures[figure]
            for s in found
            if figure in {*s.figures, "wall_s"}
        }
        clean = frozenset(s.number for s in found if s.number in values and s.is_clean)
        return Series(values, clean) if values else None

    def iterations(self) -> dict[str, float]:
        """Return what the first runs of likwid-bench found, by command."""
        firsts = [sample for sample in self.taken if sample.command.endswith("-first") and not sample.error]
        return {sample.command.removesuffix("-first"): sample.figures["iterations"] for sample in firsts}

    def text(self, command: str) -> str:
        return next((sample.text for sample in self.taken if sample.command == command), "")

    def error(self, command: str) -> str:
        return next((sample.error for sample in self.taken if sample.command == command and sample.error), "")

    def save(self, path: str) -> None:
        document = {"about": self.about, "lacking": self.lacking, "taken": [s._asdict() for s in self.taken]}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)

    @classmethod
    def load(cls, path: str) -> Self:
        with open(path, encoding="utf-8") as file:
            document: Mapping[str, Any] = json.load(file)
        return cls(document["about"], document["lacking"], [Sample(**sample) for sample in document["taken"]])

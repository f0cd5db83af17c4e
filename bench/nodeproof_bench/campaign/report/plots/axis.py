"""An axis: from values to places on the paper, with round figures on it."""

import math
from typing import NamedTuple

#: Steps of a thousand, for units that take them.
_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n"}

#: Round figures have one of these before their zeros.
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


#: A figure's sign, as wide as a plus.
MINUS = "\N{MINUS SIGN}"


class Tick(NamedTuple):
    x: float
    text: str


class Axis(NamedTuple):
    """Values from `low` to `high` between the places `left` and `right`."""

    low: float
    high: float
    left: float
    right: float

    def x(self, value: float) -> float:
        """Return the place of a value; what is off the axis is at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.left + min(1.0, max(0.0, share)) * (self.right - self.left), 1)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def axis(low: float, high: float, left: float, right: float) -> Axis:
    """Return an axis with some room at both ends; of one value alone, that value is in the middle."""
    room = 0.04 * (high - low) or 0.01 * abs(high) or 1.0
    return Axis(low - room, high + room, left, right)


def ticks(on: Axis, unit: str, most: int = 4) -> tuple[list[Tick], str]:
    """Return at most so many round figures that are on the axis, and their unit with its prefix."""
    step = _round_step((on.high - on.low) / most)
    first = math.ceil(on.low / step)
    values = [n * step for n in range(first, first + most + 2) if n * step <= on.high]
    factor, name = _scale(max(abs(on.low), abs(on.high)), unit)
    digits = next((d for d in range(6) if math.isclose(round(step / factor, d), step / factor)), 6)
    return [Tick(on.x(v), f"{v / factor:.{digits}f}".replace("-", MINUS)) for v in values], name


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in _ROUND if power * digit >= least * 0.999)


def _scale(most: float, unit: str) -> tuple[float, str]:
    if unit.startswith("1"):
        return 1.0, unit[1:]
    if unit == "%":
        return 1.0, unit
    power = next((p for p in _PREFIXES if most >= 10.0**p), -9)
    if unit == "s" and power > 0:
        power = 0
    return 10.0**power, f"{_PREFIXES[power]}{unit}"

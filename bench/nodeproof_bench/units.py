"""Values of results as a person reads them."""

#: Steps of a thousand, for units that take them.
_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n"}


def scaled(value: float, unit: str) -> str:
    """Return a value with three digits or more and the prefix that fits: `61.2 GB/s`, `98.3 ns`."""
    if unit.startswith("1"):
        return f"{value:.3g}{unit[1:]}"
    if not value:
        return f"0 {unit}"
    power = next((p for p in _PREFIXES if abs(value) >= 10**p), -9)
    number = value / 10.0**power
    if unit == "s" and power > 0:
        power, number = 0, value
    return f"{number:.{0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2}f} {_PREFIXES[power]}{unit}"

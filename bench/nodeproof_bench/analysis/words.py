"""What a finding says to an operator, in one sentence with its figures."""

from typing import Protocol

from nodeproof_bench.units import scaled


class Figures(Protocol):
    """What is told of a finding."""

    @property
    def metric(self) -> str: ...
    @property
    def detector(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def expected(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def z(self) -> float | None: ...


def in_words(found: Figures, unit: str, class_name: str, detail: str = "") -> str:
    """Return a sentence without full stop, such as goes into a drain reason or a table."""
    of_class = f"class {class_name}" if class_name else "its class"
    if found.detector == "disturbed":
        return f"{found.metric} could not be measured: disturbed in {detail}, {of_class} {_percent(found.expected)}"
    sigma = "" if found.z is None else f", {found.z:.1f} sigma"
    if found.detector == "distribution":
        times = found.value / found.expected
        return (
            f"{found.metric} and its like vary {times:.1f} times as much as in {of_class}: repeats are "
            f"{_percent(found.value)} apart, usual {_percent(found.expected)}{sigma}"
        )
    figures = f"{found.metric} is {scaled(found.value, unit)}"
    usual, share = scaled(found.expected, unit), _much(abs(found.loss))
    if found.detector == "limit" and not found.expected:
        return f"{found.metric} is {found.value:g}, expected 0" + (f" ({detail})" if detail else "")
    if found.detector == "limit":
        return f"{figures}, {share} beyond the limit of {usual}" + (f" ({detail})" if detail else "")
    if found.detector == "too_good":
        return f"{figures}, {share} better than the {usual} of {of_class}{sigma}: is it what it claims to be?"
    if found.detector == "part":
        return f"{figures} and its like are {share} worse than {of_class} has, {usual} here{sigma}"
    than = {
        "class": f"the {usual} of {of_class}",
        "history": f"the {usual} that it had in earlier campaigns",
        "profile": f"the {usual} that nodes of {of_class} have whose other results are like this node's",
    }[found.detector]
    return f"{figures}, {share} worse than {than}{sigma}"


class Blamed(Protocol):
    """What is told of a node or a path that makes pairs worse."""

    @property
    def path(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def expected(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def pairs(self) -> int: ...
    @property
    def z(self) -> float: ...


def suspect_in_words(metric: str, unit: str, found: Blamed) -> str:
    """Return a sentence without full stop about what pairs say of a node or a path."""
    place = f"the path {found.path}" if found.path else "this node"
    return (
        f"{metric} is {scaled(found.value, unit)} in the {found.pairs} pairs of {place}, {_much(found.loss)} worse "
        f"than the usual {scaled(found.expected, unit)}, {found.z:.1f} sigma"
    )


def _much(share: float) -> str:
    """Return a share; of what is several times as much, how many times."""
    return f"{share:.1f} times" if share >= 2 else _percent(share)


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if abs(share) < 0.1 else 0}f} %"

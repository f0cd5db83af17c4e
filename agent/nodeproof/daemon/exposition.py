"""Families of metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0.0. Pure.

Written here and not with prometheus-client: that imports web servers and clients (3.9 MiB of the agent's 60), and takes
three times as long for a page: 11 ms for 1,500 series instead of 4. Its parsers read this in the tests.
"""

from collections.abc import Iterable

from nodeproof.daemon.metric_families import Family

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_SUFFIX = {"counter": "_total", "info": "_info", "gauge": ""}


def exposed(families: Iterable[Family], *, is_openmetrics: bool) -> bytes:
    """Return the page. OpenMetrics names a family without its suffix, the older format by its series."""
    lines: list[str] = []
    for family in families:
        series = family.name + _SUFFIX[family.kind]
        head = family.name if is_openmetrics else series
        kind = "gauge" if family.kind == "info" and not is_openmetrics else family.kind
        lines += [f"# HELP {head} {family.help}", f"# TYPE {head} {kind}"]
        names = ",".join(f'{name}="%s"' for name in family.labels)
        line = f"{series}{{{names}}} %s" if names else f"{series} %s"
        lines += [line % (*map(_escaped, row), _number(value)) for row, value in family.rows]
    if is_openmetrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""]).encode()


def accepts_openmetrics(accept: str) -> bool:
    """Say whether a client's Accept header names an OpenMetrics that we write."""
    for offer in accept.lower().split(","):
        media, *words = (word.strip() for word in offer.split(";"))
        given = {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words)}
        is_ours = given.get("version", "1.0.0") in {"0.0.1", "1.0.0"} and given.get("q", "1").strip("0.") != ""
        if media == "application/openmetrics-text" and is_ours:
            return True
    return False


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)

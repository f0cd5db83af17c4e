"""The report of a campaign as one HTML file that needs nothing else: no network, no fonts, no other file.

The page is made from the JSON document alone. Every name and text in it is hostile: templates escape all of them,
and the page's own policy allows no other style and script than the two that are in it, by their hashes.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from nodeproof.verdict import harmless, plural
from nodeproof_bench.campaign.report.plots import change_rows, heat_map, strip
from nodeproof_bench.campaign.report.plots.axis import MINUS
from nodeproof_bench.campaign.report.text import unseen
from nodeproof_bench.campaign.report.verdicts import WORDS, shown_loss
from nodeproof_bench.units import scaled

_DASH = "\N{EN DASH}"

#: Signs beside the words, for who cannot tell the colours.
SIGNS = {"bad": "✕", "suspect": "▲", "unknown": "?", "ok": "✓", "skipped": _DASH}

#: Rows of a table, drawings of a kind and lines in a cell; the JSON document has the others.
MOST_ROWS, MOST_STRIPS, MOST_CHANGES, MOST_LINES = 1000, 120, 24, 8

_TEXT_CHARS = 600


def page(document: Mapping[str, Any]) -> str:
    """Return the page of a report."""
    files = resources.files(__package__).joinpath("templates")
    style, script = (files.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8")),
    )
    environment.filters |= {
        "clean": _clean,
        "value": _value,
        "loss": shown_loss,
        "share": _share,
        "when": _when,
        "hours": _hours,
        "plural": plural,
        "json": lambda value: json.dumps(value, indent=2),
    }
    return environment.get_template("report.html.j2").render(
        **_drawings(document),
        doc=document,
        words=WORDS,
        signs=SIGNS,
        most_rows=MOST_ROWS,
        most_lines=MOST_LINES,
        unseen=list(unseen(document["resolution"], document["summary"]["wanted_loss"])),
        style=Markup(style),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704  # ours
        policy=_policy(style, script),
    )


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: nothing is loaded, and nothing runs but what is in the file by our hand."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _drawings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return all drawings beside the part of the document that they are of."""
    metrics = document["metrics"]
    has_classes = len({node["class"] for node in document["nodes"] if node["verdict"] != "skipped"}) > 1
    since = document["since_last"]
    return {
        "has_classes": has_classes,
        "strips": [(metric, strip.strip(metric)) for metric in metrics[:MOST_STRIPS]],
        "maps": [(metric, heat_map.heat_map(metric)) for metric in document["pairs"]],
        "map_edges": heat_map.EDGES,
        "heat": _change_drawing(document["under_heat"], has_classes=has_classes),
        "since_drawing": None if since is None else _change_drawing(since["metrics"], has_classes=has_classes),
    }


def _change_drawing(changes: Sequence[Mapping[str, Any]], *, has_classes: bool) -> change_rows.ChangeRows | None:
    return change_rows.change_rows(changes[:MOST_CHANGES], has_classes=has_classes) if changes else None


def _clean(text: object) -> str:
    """Return hostile text as one line that cannot reorder or hide what is around it. The template escapes it."""
    return harmless(str(text), _TEXT_CHARS)


def _value(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return _DASH
    return scaled(value, unit) if unit else f"{value:.4g}"


def _share(share: float | None) -> str:
    """Return a signed share in percent; what rounds to nothing has no sign."""
    shown = f"{100 * (share or 0.0):+.1f}"
    return f"{shown[1:] if float(shown) == 0 else shown.replace('-', MINUS)} %"


def _when(seconds: float | None) -> str:
    if seconds is None:
        return _DASH
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # no time that a calendar has
        return _DASH


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"

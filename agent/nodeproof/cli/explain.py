"""`nodeproof explain`: the documentation of a check, made from its code."""

import json
import textwrap
from collections.abc import Iterator

import click

from nodeproof.check import CheckSpec, Interference, Parameter, registry

_WIDTH = 100

#: Where to look under another id than one that is asked for: what the driver tells comes as events.
_ELSEWHERE = {"gpu.xid": "event.xid", "gpu.sxid": "event.sxid"}


@click.command("explain")
@click.argument("check_id", metavar="ID")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def command(check_id: str, is_json: bool) -> None:
    """Say what check ID looks at, why, and what to do when it fails."""
    specs = registry()
    check_id = _ELSEWHERE.get(check_id, check_id)
    if check_id not in specs:
        raise click.BadParameter(f"no check {check_id!r}{_nearest(check_id, list(specs))}", param_hint="ID")
    spec = specs[check_id]
    click.echo(json.dumps(_as_json(spec), indent=2) if is_json else "\n".join(_lines(spec)))


def _nearest(wrong: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(wrong, known, n=1)
    return f", did you mean {close[0]!r}?" if close else "; see `nodeproof list`"


def _lines(spec: CheckSpec) -> Iterator[str]:
    yield click.style(spec.id, bold=True) + (" (beta: reports, never drains)" if spec.beta else "")
    yield from _indented(spec.title)
    yield from _section("Why", _paragraphs(spec.why))
    yield from _section("Reads", [f"  {s}" for s in spec.sources])
    if spec.parameters:
        yield from _section("Parameters", [line for p in spec.parameters.values() for line in _parameter(p)])
    yield from _section("When it fails", _indented(spec.remedy_for({})))
    yield from _section("In policy", _example(spec))
    yield from _section("Runs in", [f"  {', '.join(sorted(spec.tags))}"])
    yield from _section("Beside a job", [f"  {spec.interference}: {_BESIDE_A_JOB[spec.interference]}"])


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True)
    yield from lines


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += ["", *_indented(" ".join(paragraph.split()))] if lines else _indented(" ".join(paragraph.split()))
    return lines


def _indented(text: str, by: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=by, subsequent_indent=by, break_on_hyphens=False)


def _parameter(parameter: Parameter) -> list[str]:
    default = "must be set by policy" if parameter.is_required else f"default {_toml(parameter.default)}"
    if parameter.name == "claimed":
        default = "set by the claim of this subject"
    return [f"  {parameter.name}: {parameter.type_name}, {default}", *_indented(parameter.description + ".", "      ")]


def _example(spec: CheckSpec) -> list[str]:
    lines = [f"  [check.{spec.id}]"]
    for name, parameter in spec.parameters.items():
        if name == "claimed":
            lines = ["  [claims]", f"  {spec.subject} = …", "", *lines]
        else:
            lines.append(f"  {name} = {'…' if parameter.default is None else _toml(parameter.default)}")
    return lines + _COMMON


#: What every check takes, with its defaults (nodeproof.policy.settings.CheckSettings).
_COMMON = [
    '  on_fail = "drain"      # or "report"; "ignore" switches the check off',
    "  after = 1              # failing passes in a row before the node is drained",
    "  clear_after = 3        # passing ones before our drain is taken back",
    '  if_absent = "skip"     # or "fail": the part must be there',
]


_BESIDE_A_JOB: dict[Interference, str] = {
    "passive": "it only reads, and is run whether a job is running or not",
    "light": "it takes a little from a job; Slurm's hooks leave it out while one is running",
    "exclusive": "it and a job would spoil each other; Slurm's hooks leave it out while one is running",
}


def _toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, default=str, ensure_ascii=False)


def _as_json(spec: CheckSpec) -> dict[str, object]:
    return {
        "id": spec.id,
        "title": spec.title,
        "why": spec.why,
        "reads": list(spec.sources),
        "parameters": [
            {"name": p.name, "type": p.type_name, "description": p.description, "is_required": p.is_required}
            | ({} if p.is_required else {"default": p.default})
            for p in spec.parameters.values()
        ],
        "remedy": spec.remedy_for({}),
        "tags": sorted(spec.tags),
        "is_beta": spec.beta,
        "interference": spec.interference,
    }

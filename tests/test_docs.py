"""What every check must bring along: documentation, units, a remedy, a test."""

import json
import re
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from nodeproof.check import _REGISTRY, CheckSpec, registry
from nodeproof.cli import explain
from nodeproof.engine.run import judge
from nodeproof.engine.worker import read_facts
from nodeproof.policy.settings import CHECK_KEYS, CheckSettings
from nodeproof.probes import FACTS
from nodeproof.verdict import Status
from support import Machine

SPECS = registry()
TESTS = "\n".join(f.read_text() for f in Path(__file__).parent.rglob("test_*.py"))

#: A number says its unit in its name, or counts something that the name says.
UNITS = re.compile(
    r"_(bytes|s|us|ms|khz|mhz|hz|mts|percent|celsius|per_s|mb_per_s|gb_per_s|bytes_per_s|count|rows|errors|changes"
    r"|million_packets|ratio|share|flaps|db|width|version|years|per_clock|per_hour|h)$"
)
COUNTS = {"claimed", "sockets", "cores", "threads", "nodes", "channels", "min_stability"}


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_check_is_documented(spec: CheckSpec) -> None:
    assert spec.title.endswith("."), "the first line of the docstring is the title, a sentence"
    assert len(spec.why) > 60, "the rest of the docstring says why it matters"
    assert len(spec.remedy) > 20, "the remedy says what an operator does"
    assert spec.facts
    for parameter in spec.parameters.values():
        assert parameter.description, f"{parameter.name} has no description"
        assert not parameter.description.endswith("."), f"{parameter.name}: explain adds the full stop"


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_every_fact_says_what_it_reads(spec: CheckSpec) -> None:
    assert all(FACTS[fact].sources for fact in spec.facts)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_numbers_carry_their_unit(spec: CheckSpec) -> None:
    for parameter in spec.parameters.values():
        if parameter.annotation in (int, float, int | None, float | None):
            assert UNITS.search(parameter.name) or parameter.name in COUNTS, f"{parameter.name} has no unit"


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_check_is_tested(spec: CheckSpec) -> None:
    assert f'"{spec.id}"' in TESTS


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_remedy_names_only_parameters(spec: CheckSpec) -> None:
    names = set(re.findall(r"{(\w+)}", spec.remedy))

    assert names <= set(spec.parameters)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda s: s.id)
def test_explain_shows_everything(spec: CheckSpec) -> None:
    shown = CliRunner().invoke(explain.command, [spec.id]).output

    assert spec.title in " ".join(shown.split())
    for word in ("Why", "Reads", "When it fails", "In policy", *spec.parameters, *spec.sources):
        assert word in shown


def test_explain_knows_the_defaults_of_what_every_check_takes() -> None:
    shown = CliRunner().invoke(explain.command, ["cpu.smt"]).output

    for key in CHECK_KEYS:
        default = getattr(CheckSettings(), key)
        assert f"  {key} = {json.dumps(default)} " in shown


def test_at_most_one_check_of_a_subject_takes_its_claim() -> None:
    subjects = [s.subject for s in SPECS.values() if "claimed" in s.parameters]

    assert sorted(subjects) == sorted(set(subjects))


def readme_check() -> str:
    """Return the example of README's section on adding a check."""
    section = (Path(__file__).parent.parent / "README.md").read_text().partition("## Add a check")[2]
    return section.partition("```python\n")[2].partition("```")[0]


def test_the_check_in_the_readme_works(machine: Machine) -> None:
    name = "readme_example"
    module = types.ModuleType(name)
    exec(readme_check(), module.__dict__)  # our own text
    spec = _REGISTRY.pop("cpu.driver")

    host = machine({f"/sys/devices/system/cpu/cpu0/cpufreq/{f}": v for f, v in CPUFREQ.items()})
    readings = read_facts(host, spec.facts, deadline_s=5, until_s=float("inf"))

    assert judge(spec, CheckSettings({"required": "amd-pstate-epp"}), readings).status == Status.OK
    wrong = judge(spec, CheckSettings({"required": "acpi-cpufreq"}), readings)
    assert wrong.summary == "CPU 0 uses amd-pstate-epp, expected acpi-cpufreq"
    assert judge(spec, CheckSettings(), readings).status == Status.SKIP


CPUFREQ = {
    "scaling_governor": "performance",
    "scaling_driver": "amd-pstate-epp",
    "scaling_max_freq": "3700000",
    "cpuinfo_max_freq": "3700000",
}

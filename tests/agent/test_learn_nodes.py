"""Learning from whole nodes: recordings in, a policy out that its own node fits."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodeproof.check import registry
from nodeproof.cli.policy import command
from nodeproof.engine.run import run
from nodeproof.host import open_host
from nodeproof.policy.learn import learnable
from nodeproof.policy.resolve import check_policy, load_settings
from nodeproof.probes.identity import Identity
from nodeproof.verdict import Status
from support import plant

CPU = "/sys/devices/system/cpu"


def node_files(name: str, *, governor: str = "performance", gpus: int = 2, bios: str = "2.7.1") -> dict[str, str]:
    files = {
        "/proc/sys/kernel/hostname": f"{name}\n",
        "/sys/class/dmi/id/product_name": "HPC-9000 [G2]\n",
        "/sys/class/dmi/id/bios_version": f"{bios}\n",
        "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet\n",
    }
    for cpu in range(2):
        directory = f"{CPU}/cpu{cpu}/cpufreq"
        files |= {
            f"{directory}/scaling_governor": f"{governor}\n",
            f"{directory}/scaling_driver": "acpi-cpufreq\n",
            f"{directory}/scaling_max_freq": "3700000\n",
            f"{directory}/cpuinfo_max_freq": "3700000\n",
        }
    for gpu in range(gpus):
        device = f"/sys/bus/pci/devices/0000:0{gpu + 1}:00.0"
        files |= {f"{device}/vendor": "0x10de\n", f"{device}/device": "0x2330\n", f"{device}/class": "0x030200\n"}
    return files


@pytest.fixture
def fleet(tmp_path: Path) -> list[str]:
    """Five recordings, of which gpu003 has another governor."""
    for n in range(1, 6):
        name = f"gpu{n:03}"
        plant(tmp_path / name, node_files(name, governor="powersave" if n == 3 else "performance"))
    return [str(tmp_path / f"gpu{n:03}") for n in range(1, 6)]


def policy_learn(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["learn", *arguments], catch_exceptions=False)


def test_the_odd_node_of_a_fleet_is_named_on_standard_error(fleet: list[str]) -> None:
    result = policy_learn(*fleet)

    (found,) = tomllib.loads(result.stdout)["class"]
    assert found["name"] == "HPC-9000 [G2]"
    assert found["check"]["cpu"]["governor"] == {"required": "performance", "if_absent": "fail"}
    header, row = result.stderr.splitlines()
    assert header.split() == ["NODE", "CHECK", "PARAMETER", "IS", "MAJORITY", "NODES", "LIKE", "IT"]
    assert row.split() == ["gpu003", "cpu.governor", "required", '"powersave"', '"performance"', "1"]


def test_learned_as_json(fleet: list[str]) -> None:
    document = json.loads(policy_learn("--json", "--name", "x", *fleet).stdout)

    assert document["class"] == "x"
    assert tomllib.loads(document["policy"])["class"][0]["name"] == "x"
    assert [(o["node"], o["check"]) for o in document["disagreements"]] == [("gpu003", "cpu.governor")]


def test_two_nodes_that_differ_are_both_in_the_table(fleet: list[str]) -> None:
    result = policy_learn(*fleet[1:3])

    _, *rows = result.stderr.splitlines()
    assert [row.split() for row in rows] == [
        ["gpu002", "cpu.governor", "required", '"performance"', "none", "1"],
        ["gpu003", "cpu.governor", "required", '"powersave"', "none", "1"],
    ]
    assert "#   kernel.sysctl: nothing to learn: policy must say what is required\n" in result.stdout
    document = json.loads(policy_learn("--json", *fleet[1:3]).stdout)
    assert [(o["node"], o["has_majority"]) for o in document["disagreements"]] == [("gpu002", False), ("gpu003", False)]


def test_a_recording_given_twice_is_said(fleet: list[str]) -> None:
    result = policy_learn(fleet[0], fleet[0])

    assert f"given 2 times and counted each time: gpu001 ({fleet[0]}), gpu001 ({fleet[0]}).\n" in result.stdout
    assert result.stderr == ""


def test_scrubbed_recordings_are_told_apart_by_their_files(tmp_path: Path) -> None:
    roots = [str(tmp_path / str(n)) for n in range(3)]
    for root, governor in zip(roots, ["performance", "performance", "powersave"], strict=True):
        plant(Path(root), node_files("host-1", governor=governor))

    assert f"host-1 ({roots[2]})" in policy_learn("--json", *roots).stdout


@pytest.mark.parametrize("is_live", [False, True])
def test_a_learned_policy_is_good_and_its_own_node_fits_it(fleet: list[str], tmp_path: Path, *, is_live: bool) -> None:
    directory = tmp_path / "policy.d"
    directory.mkdir(mode=0o755)
    root = "/" if is_live else fleet[0]

    result = policy_learn("--out", str(directory / "10-class.toml"), *([] if is_live else [root]))

    assert (result.exit_code, result.stdout) == (0, "")
    (directory / "10-class.toml").chmod(0o644)
    specs = registry()
    check_policy(str(directory), specs)
    host = open_host(root)
    settings, warnings = load_settings(str(directory), Identity.read(host), specs, cache="")
    assert len(settings.classes) == 1
    assert warnings == []
    judged = [s for s in learnable(specs).values() if s.id in settings.checks]
    assert judged
    assert [
        (r.spec.id, r.verdict) for r in run(host, judged, settings).results if r.verdict.status == Status.FAIL
    ] == []

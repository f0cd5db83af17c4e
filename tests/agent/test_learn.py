"""Learning a class of nodes: what one node is, what most agree on, and who is the odd one out."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.check import CheckSpec, _signature, registry
from nodeproof.cli.policy import command
from nodeproof.engine.run import run
from nodeproof.errors import FactError
from nodeproof.host import open_host
from nodeproof.policy.learn import Learned, Oddity, learn, learn_node
from nodeproof.policy.learned_text import class_text, oddity_table
from nodeproof.policy.resolve import check_policy, load_settings
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.probes.identity import Identity
from nodeproof.verdict import Status, Verdict, ok
from support import plant

CPU = "/sys/devices/system/cpu"


class Disk(NamedTuple):
    """A fact for these tests."""

    disks: int = 4
    firmware: str = "1.0"
    models: Mapping[str, str] = {}


def count(disk: Disk, *, claimed: Annotated[int, "disks"]) -> Verdict:
    """All disks are there."""
    return ok(f"{disk} {claimed}")


def firmware(disk: Disk, *, allowed: Annotated[tuple[str, ...], "versions"], models: dict[str, str]) -> Verdict:
    """Disks run an allowed firmware."""
    return ok(f"{disk} {allowed} {models}")


def spec_of(check_id: str, function: object, learner: object) -> CheckSpec:
    return CheckSpec(check_id, function, *_signature(function), frozenset(), "", learner, False)  # type: ignore[arg-type]


SPECS = {
    "disk.count": spec_of("disk.count", count, lambda disk: {"claimed": disk.disks}),
    "disk.firmware": spec_of(
        "disk.firmware", firmware, lambda disk: {"allowed": (disk.firmware,), "models": disk.models}
    ),
}


def learned_from(facts: Mapping[str, object], product: str = "HPC-9000") -> Learned:
    return learn([learn_node(n, Identity(n, product), SPECS, {Disk: fact}) for n, fact in facts.items()], SPECS)


def class_of(learned: Learned, name: str = "") -> dict[str, object]:
    (found,) = tomllib.loads(class_text(learned, SPECS, name))["class"]
    assert isinstance(found, dict)
    return found


def test_everything_is_learned_from_one_node() -> None:
    assert class_of(learned_from({"n1": Disk(models={"nvme0": "P5800X"})})) == {
        "name": "HPC-9000",
        "match": {"product": "HPC-9000"},
        "claims": {"disk": 4},
        "check": {"disk": {"firmware": {"allowed": ["1.0"], "if_absent": "fail", "models": {"nvme0": "P5800X"}}}},
    }


def test_a_node_of_no_known_product_is_matched_by_its_name() -> None:
    assert class_of(learned_from({"n1": Disk()}, product=""))["match"] == {"hosts": "n1"}
    assert class_of(learned_from({"n1": Disk(), "n2": Disk(), "n3.site": Disk()}, product="")) == class_of(
        learned_from({"n1": Disk(), "n2": Disk(), "n3": Disk()}, product=""), "learned"
    )


def test_each_part_of_the_policy_says_what_it_is_for() -> None:
    text = class_text(learned_from({"n1": Disk()}), SPECS)

    assert "# All disks are there.\ndisk = 4\n" in text
    assert "# Disks run an allowed firmware.\n[class.check.disk.firmware]\n" in text


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (FactError("/dev/sda", "denied", "EACCES"), "/dev/sda: denied (EACCES)"),
        (FactError("/dev/sda", "absent"), "/dev/sda: absent"),
        (Disk(disks="many"), 'malformed (: disk.count.claimed: expected int (disks), found "many")'),  # type: ignore[arg-type]
        (object(), "crashed (AttributeError: 'object' object has no attribute 'disks')"),
    ],
)
def test_what_could_not_be_learned_is_said_with_the_reason(fact: object, why: str) -> None:
    text = class_text(learned_from({"n1": fact}), SPECS)

    (line,) = [line for line in text.splitlines() if line.startswith("#   disk.count")]
    assert line.endswith(why)
    assert "claims" not in tomllib.loads(text)["class"][0]


def test_a_majority_is_learned_and_the_odd_one_out_is_named() -> None:
    nodes = {f"n{n}": Disk() for n in range(5)} | {"n5": Disk(disks=3), "n6": Disk(firmware="0.9"), "n7": Disk(disks=3)}

    learned = learned_from(nodes)

    assert learned.values == {"disk.count": {"claimed": 4}, "disk.firmware": {"allowed": ["1.0"]}}
    assert [(o.node, o.check, o.parameter, o.majority, o.value, o.alike) for o in learned.oddities] == [
        ("n6", "disk.firmware", "allowed", ["1.0"], ["0.9"], 1),
        ("n5", "disk.count", "claimed", 4, 3, 2),
        ("n7", "disk.count", "claimed", 4, 3, 2),
    ]


def test_tables_are_compared_entry_by_entry() -> None:
    usual = Disk(models={"nvme0": "A", "nvme1": "A"})
    nodes = {"n1": usual, "n2": usual, "n3": usual, "n4": Disk(models={"nvme0": "A", "nvme1": "B", "nvme2": "A"})}

    learned = learned_from(nodes)

    assert learned.values["disk.firmware"]["models"] == {"nvme0": "A", "nvme1": "A"}
    assert [(o.node, o.key, o.majority, o.value) for o in learned.oddities] == [
        ("n4", "nvme1", "A", "B"),
        ("n4", "nvme2", None, "A"),
    ]


def test_a_node_without_the_part_that_most_have_is_odd() -> None:
    learned = learned_from({"n1": Disk(), "n2": Disk(), "n3": FactError("/dev", "absent")})

    assert {(o.node, o.check, o.majority, o.value) for o in learned.oddities} == {
        ("n3", "disk.count", True, None),
        ("n3", "disk.firmware", True, None),
    }
    assert learned.values["disk.count"] == {"claimed": 4}


def test_a_part_that_most_do_not_have_is_not_claimed() -> None:
    absent = FactError("/dev", "absent")

    learned = learned_from({"n1": absent, "n2": absent, "n3": Disk()})

    assert learned.values == {}
    assert {(o.node, o.majority, o.value) for o in learned.oddities} == {("n3", None, True)}


def test_without_a_majority_nothing_is_learned_and_the_split_is_said() -> None:
    learned = learned_from({"n1": Disk(disks=4), "n2": Disk(disks=4), "n3": Disk(disks=8), "n4": Disk(disks=8)})

    assert "disk.count" not in learned.values
    assert learned.oddities == []
    assert "#   disk.count claimed: no majority: 2 x 4, 2 x 8" in class_text(learned, SPECS)


def test_a_node_that_could_not_be_read_has_no_vote() -> None:
    denied = FactError("/dev", "denied")

    learned = learned_from({"n1": Disk(), "n2": denied, "n3": denied})

    assert learned.values["disk.count"] == {"claimed": 4}
    assert [(u.node, u.check) for u in learned.unlearned if u.check == "disk.count"] == [
        ("n2", "disk.count"),
        ("n3", "disk.count"),
    ]


def test_of_two_lists_only_the_difference_is_shown() -> None:
    odd = Oddity("kernel.cmdline", "required", None, ["a", "b", "c"], "n3", ["a", "b", "x"], alike=1)

    (_, row) = oddity_table([odd]).splitlines()

    assert row.split() == ["n3", "kernel.cmdline", "required", "…", '["x"]', "…", '["c"]', "1"]


# Spelling


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.text(), VALUES)
def test_what_is_spelt_reads_back_and_is_one_printable_line(key: str, value: object) -> None:
    line = f"{spelt_key(key)} = {spelt(value)}"

    assert line.isprintable()
    assert tomllib.loads(line) == {key: value}


def test_half_a_character_is_replaced() -> None:
    assert tomllib.loads(f"a = {spelt(chr(0xD800))}") == {"a": "\ufffd"}


@given(st.text())
def test_hostile_names_stay_values(text: str) -> None:
    found = class_of(learned_from({"n1": Disk(firmware=text, models={text: text})}, product=text))

    firmware_of = found["check"]["disk"]["firmware"]  # type: ignore[index]
    assert firmware_of["allowed"] == [text]
    assert firmware_of["models"] == {text: text}
    assert sorted(found) == ["check", "claims", "match", "name"]


def test_a_host_name_that_is_none_is_not_put_into_a_host_set() -> None:
    assert class_of(learned_from({"a]!b\n[[class]]": Disk()}, product=""))["match"] == {"hosts": "nobody"}


def test_a_product_is_matched_as_it_is() -> None:
    from fnmatch import fnmatchcase

    found = class_of(learned_from({"n1": Disk()}, product="PowerEdge [R760*] ?"))["match"]

    assert isinstance(found, dict)
    assert fnmatchcase("PowerEdge [R760*] ?", found["product"])
    assert not fnmatchcase("PowerEdge R", found["product"])


# Whole nodes, from recordings


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
    judged = [s for s in specs.values() if s.learn and "bench" not in s.tags and s.id in settings.checks]
    assert judged
    assert [
        (r.spec.id, r.verdict) for r in run(host, judged, settings).results if r.verdict.status == Status.FAIL
    ] == []

"""Learning a class of nodes: what one node is, what most agree on, and who is the odd one out."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.check import CheckSpec, _signature, registry
from nodeproof.errors import FactError
from nodeproof.policy.learn import Learned, Oddity, learn, learn_node, learnable
from nodeproof.policy.learned_text import class_text, oddity_table
from nodeproof.policy.spell import spelt, spelt_key
from nodeproof.probes.identity import Identity
from nodeproof.verdict import Verdict, ok

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
        (Disk(disks="many"), 'malformed (: disk.count.claimed: expected int of at least 0 (disks), found "many")'),  # type: ignore[arg-type]
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
    assert {(o.node, o.value, o.majority, o.has_majority, o.alike) for o in learned.oddities} == {
        ("n1", 4, None, False, 2),
        ("n2", 4, None, False, 2),
        ("n3", 8, None, False, 2),
        ("n4", 8, None, False, 2),
    }
    assert "#   disk.count claimed: no majority: 2 x 4, 2 x 8" in class_text(learned, SPECS)


def rows_of(learned: Learned) -> list[list[str]]:
    return [row.split() for row in oddity_table(learned.oddities).splitlines()[1:]]


def test_two_nodes_that_differ_are_both_in_the_table() -> None:
    assert rows_of(learned_from({"r1": Disk(), "r2": Disk(firmware="0.9", models={"nvme0": "A"})})) == [
        ["r1", "disk.firmware", "allowed", '["1.0"]', "none", "1"],
        ["r2", "disk.firmware", "allowed", '["0.9"]', "none", "1"],
        ["r1", "disk.firmware", "models.nvme0", "nothing", "none", "1"],
        ["r2", "disk.firmware", "models.nvme0", '"A"', "none", "1"],
    ]
    absent = learned_from({"r1": Disk(), "r2": FactError("/dev", "absent")})
    assert [row[:2] + row[-5:] for row in rows_of(absent)][:2] == [
        ["r1", "disk.count", "r1", "disk.count", "there", "none", "1"],
        ["r2", "disk.count", "disk.count", "not", "there", "none", "1"],
    ]


def test_the_odd_one_out_comes_before_a_split_of_which_the_most_lonely_are_shown() -> None:
    split = {f"n{n:03}": Disk(disks=n % 2) for n in range(40)}
    learned = learned_from(split | {"n040": Disk(disks=9), "n041": Disk(disks=1, firmware="0.9")})

    rows = rows_of(learned)

    assert rows[0][:2] == ["n041", "disk.firmware"]
    assert rows[1] == ["n040", "disk.count", "claimed", "9", "none", "1"]
    assert [len(rows), rows[-1]] == [18, ["…", "26", "more", "disk.count", "claimed", "none"]]
    assert len(learned.oddities) == 43


@pytest.mark.parametrize(("other", "is_said"), [(Disk(), True), (Disk(disks=3), False)])
def test_a_node_given_twice_is_said(other: Disk, *, is_said: bool) -> None:
    facts = {"vm (r1)": Disk(), "vm (r2)": other, "n3": Disk()}
    nodes = [learn_node(n, Identity(n.partition(" ")[0], "X"), SPECS, {Disk: fact}) for n, fact in facts.items()]

    text = class_text(learn(nodes, SPECS), SPECS)

    line = "# The same node, it seems, given 2 times and counted each time: vm (r1), vm (r2).\n"
    assert (line in text) == is_said
    assert tomllib.loads(text)["class"][0]["claims"] == {"disk": 4}


def test_what_policy_has_to_say_is_named_and_its_check_not_asked() -> None:
    specs = {"disk.firmware": spec_of("disk.firmware", firmware, None)}
    learned = learn([learn_node("n1", Identity("n1"), specs, {})], specs)

    assert learned.values == {}
    assert "#   disk.firmware: nothing to learn: policy must say what is required\n" in class_text(learned, specs)


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


def test_a_word_of_each_node_does_not_lose_those_that_all_have() -> None:
    def words(disk: Disk) -> dict[str, object]:
        return {"allowed": ("iommu=pt", f"id={disk.disks}", "quiet")}

    specs = {"disk.firmware": spec_of("disk.firmware", firmware, words)}
    nodes = [learn_node(f"n{n}", Identity(f"n{n}"), specs, {Disk: Disk(disks=n)}) for n in range(3)]

    learned = learn(nodes, specs)

    assert learned.values == {"disk.firmware": {"allowed": ["iommu=pt", "quiet"]}}
    assert [(o.node, o.value) for o in learned.oddities] == [
        (f"n{n}", ["iommu=pt", f"id={n}", "quiet"]) for n in range(3)
    ]


def test_lists_without_a_common_word_and_lists_in_order_have_no_majority() -> None:
    def order(disk: Disk, *, expected: Annotated[tuple[str, ...], "rows"]) -> Verdict:
        """Disks are in order."""
        return ok(f"{disk} {expected}")

    specs = {
        "disk.firmware": spec_of("disk.firmware", firmware, lambda disk: {"allowed": (disk.firmware,)}),
        "disk.order": spec_of("disk.order", order, lambda disk: {"expected": ("10 20", disk.firmware)}),
    }
    nodes = [learn_node(f, Identity(f), specs, {Disk: Disk(firmware=f)}) for f in ("1", "2", "3")]

    learned = learn(nodes, specs)

    assert learned.values == {}
    assert [u.why.partition(":")[0] for u in learned.unlearned] == ["no majority", "no majority"]


def health(disk: Disk) -> Verdict:
    """Disks are healthy."""
    if not disk.disks:
        raise FactError("/dev/sda", "absent", "reports no health")
    return ok("")


HEALTH = {"disk.health": spec_of("disk.health", health, None)}


def health_of(*facts: object) -> Learned:
    nodes = [learn_node(f"n{i}", Identity(f"n{i}", "X"), HEALTH, {Disk: fact}) for i, fact in enumerate(facts)]
    return learn(nodes, HEALTH)


def test_a_part_is_missed_later_though_its_check_has_nothing_to_learn() -> None:
    text = class_text(health_of(Disk()), HEALTH)

    (found,) = tomllib.loads(text)["class"]
    assert found["check"] == {"disk": {"health": {"if_absent": "fail"}}}
    assert "# Disks are healthy.\n[class.check.disk.health]\n" in text


@pytest.mark.parametrize("fact", [FactError("/dev", "absent"), FactError("/dev", "denied"), Disk(disks=0)])
def test_a_part_that_is_not_there_or_cannot_be_judged_is_not_expected(fact: object) -> None:
    learned = health_of(fact)

    assert learned.values == {}
    assert [u.check for u in learned.unlearned] == ["disk.health"]


def test_whether_a_part_is_expected_is_the_majoritys_say() -> None:
    absent = FactError("/dev", "absent")

    assert health_of(Disk(), Disk(), absent).values == {"disk.health": {}}
    assert [(o.node, o.value) for o in health_of(Disk(), Disk(), absent).oddities] == [("n2", None)]
    assert health_of(Disk(), absent, absent).values == {}


def speed(disk: Disk, *, min_bytes_per_s: Annotated[float, "rate"], max_s: dict[str, float]) -> Verdict:
    """Disks are fast."""
    return ok(f"{disk} {min_bytes_per_s} {max_s}")


def test_of_measured_limits_the_median_is_learned_and_nobody_is_odd() -> None:
    learner = lambda disk: {"min_bytes_per_s": 0.95 * disk.disks, "max_s": dict.fromkeys(disk.models, 2.0)}  # noqa: E731
    spec = spec_of("disk.speed", speed, learner)._replace(tags=frozenset({"bench"}))
    facts: dict[str, object] = {f"n{rate}": Disk(rate, models={"slow": "x"}) for rate in (100, 101, 60, 99, 102)}
    facts["n0"] = FactError("disk", "absent")
    nodes = [learn_node(n, Identity(n, "HPC-9000"), {spec.id: spec}, {Disk: fact}) for n, fact in facts.items()]

    learned = learn(nodes, {spec.id: spec})

    assert learned.values == {"disk.speed": {"min_bytes_per_s": 0.95 * 100, "max_s": {"slow": 2.0}}}
    assert [o.node for o in learned.oddities] == ["n0"]  # nobody measured there


def test_only_checks_that_learning_has_something_to_say_of_are_learnable() -> None:
    specs = registry()
    found = learnable(specs)

    assert {"memory.edac", "pci.aer", "nvme.health", "gpu.remapped_rows", "kernel.sysctl"} <= set(found)
    assert not {"kernel.taint", "fs.space"} & set(found)
    assert {id_ for id_, spec in specs.items() if spec.learn} <= set(found)
    assert not {"bench.conclusive", "clock.consistency"} & set(found)  # nobody has to have measured


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

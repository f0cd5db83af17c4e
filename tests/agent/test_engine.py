"""From facts and policy to a verdict: what each way of not knowing becomes, and that nothing crashes a pass."""

import time
from collections.abc import Callable
from typing import Annotated, NamedTuple, Self

import pytest

from nodeproof import check as check_module
from nodeproof.check import _REGISTRY, CheckSpec, check
from nodeproof.engine import run
from nodeproof.engine.run import judge
from nodeproof.engine.worker import Reading
from nodeproof.errors import FactError, Kind
from nodeproof.host import Host
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes import fact
from nodeproof.verdict import Status, Verdict, fail, harmless, named, ok, plural
from support import Machine

READS = 0


@fact("/value")
class Value(NamedTuple):
    number: int

    @classmethod
    def read(cls, host: Host) -> Self:
        global READS  # noqa: PLW0603
        READS += 1
        return cls(int(host.text("/value")))


def spec_of(function: Callable[..., Verdict], condition: str = "made_up") -> CheckSpec:
    identity = f"test.{condition}"
    check(identity, remedy="Set it to {limit}.")(function)
    return _REGISTRY.pop(identity)


def below(value: Value, *, limit: Annotated[int, "limit"]) -> Verdict:
    """Below."""
    return ok("below") if value.number < limit else fail(f"{value.number}, expected below {limit}")


def claimed(value: Value, *, claimed: Annotated[int, "claimed"]) -> Verdict:
    """Claim."""
    return ok("same") if value.number == claimed else fail("differs")


def readings(value: object) -> dict[type, Reading]:
    return {Value: Reading(value, 0.0)}


def error(kind: Kind) -> FactError:
    return FactError("/value", kind, "why")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("absent", Status.SKIP),
        ("denied", Status.UNKNOWN),
        ("timed_out", Status.UNKNOWN),
        ("malformed", Status.UNKNOWN),
        ("failed", Status.UNKNOWN),
        ("crashed", Status.UNKNOWN),
        ("not_recorded", Status.UNKNOWN),
    ],
)
def test_only_absent_is_a_skip(kind: Kind, status: Status) -> None:
    verdict = judge(spec_of(below), CheckSettings({"limit": 3}), readings(error(kind)))

    assert verdict.status == status
    assert "/value" in verdict.summary


@pytest.mark.parametrize("kind", ["denied", "timed_out", "malformed", "failed", "crashed", "not_recorded"])
def test_could_not_tell_is_never_a_failure_even_when_claimed(kind: Kind) -> None:
    verdict = judge(spec_of(claimed), CheckSettings({"claimed": 8}, if_absent="fail"), readings(error(kind)))

    assert verdict.status == Status.UNKNOWN


def test_absence_of_what_is_claimed_fails() -> None:
    verdict = judge(spec_of(claimed), CheckSettings({"claimed": 8}), readings(error("absent")))

    assert verdict.status == Status.FAIL
    assert verdict.summary == "/value: not there (why), but policy claims 8"


def test_absence_of_what_policy_expects_fails() -> None:
    settings = CheckSettings({"limit": 3}, if_absent="fail")

    assert judge(spec_of(below), settings, readings(error("absent"))).status == Status.FAIL


def test_without_its_parameter_a_check_is_skipped_and_reads_nothing() -> None:
    verdict = judge(spec_of(below), CheckSettings(), {})

    assert verdict.status == Status.SKIP
    assert verdict.summary == "policy sets no limit"


def test_a_check_that_is_switched_off_says_where() -> None:
    settings = CheckSettings({"limit": 1}, on_fail="ignore", origin={"on_fail": "10-site.toml:4"})

    verdict = judge(spec_of(below), settings, {})

    assert (verdict.status, verdict.summary) == (Status.SKIP, "switched off by policy (10-site.toml:4)")


def test_a_check_that_crashes_is_unknown() -> None:
    def broken(value: Value) -> Verdict:
        """Break."""
        return ok(str(1 // (value.number - value.number)))

    verdict = judge(spec_of(broken), CheckSettings(), readings(Value(1)))

    assert verdict.status == Status.UNKNOWN
    assert "ZeroDivisionError" in verdict.summary


def test_a_part_that_a_check_cannot_do_without_is_unknown() -> None:
    def partial(value: Value) -> Verdict:
        """Partial."""
        raise FactError("/part", "denied")

    assert judge(spec_of(partial), CheckSettings(), readings(Value(1))).status == Status.UNKNOWN


def test_each_fact_is_read_once_and_the_worst_comes_first(machine: Machine) -> None:
    global READS  # noqa: PLW0603
    READS = 0
    specs = [spec_of(below, "a"), spec_of(below, "b"), spec_of(claimed, "c")]
    settings = Settings(checks={"test.a": CheckSettings({"limit": 9}), "test.b": CheckSettings({"limit": 2})})

    outcome = run(machine({"/value": "5"}), specs, settings)

    assert READS == 1
    assert [r.spec.id for r in outcome.results] == ["test.b", "test.c", "test.a"]
    assert outcome.worst == Status.FAIL
    assert outcome.results[0].remedy == "Set it to 2."


def test_what_only_a_skipped_check_wants_is_not_read(machine: Machine) -> None:
    global READS  # noqa: PLW0603
    READS = 0
    off = CheckSettings({"limit": 1}, on_fail="ignore")

    outcome = run(
        machine({"/value": "5"}), [spec_of(below, "a"), spec_of(below, "b")], Settings(checks={"test.b": off})
    )

    assert READS == 0
    assert {r.verdict.status for r in outcome.results} == {Status.SKIP}


def test_doubts_about_the_class_are_a_finding(machine: Machine) -> None:
    outcome = run(machine({}), [], Settings(doubts=("/proc/cpuinfo: denied",)))

    (finding,) = outcome.results
    assert (finding.spec.id, finding.verdict.status) == ("nodeproof.class", Status.UNKNOWN)


def test_a_plugin_that_brings_no_checks_is_a_finding(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check_module._BROKEN, "site_checks", "ImportError: no module named site_lib")

    (finding,) = run(machine({}), [], Settings()).results

    assert finding.verdict.status == Status.UNKNOWN
    assert "site_checks brings no checks: ImportError" in finding.verdict.summary


def test_a_pass_keeps_its_budget(tmp_path: object) -> None:
    @fact("time itself")
    class Slow(NamedTuple):
        @classmethod
        def read(cls, host: Host) -> Self:
            del host
            time.sleep(30)
            return cls()

    def slow(value: Slow) -> Verdict:
        """Slow."""
        return ok(str(value))

    began = time.monotonic()
    outcome = run(Host(), [spec_of(slow)], Settings(budget_s=0.3, deadline_s=60))

    assert time.monotonic() - began < 2
    assert outcome.worst == Status.UNKNOWN


def test_hostile_text_becomes_one_printable_line() -> None:
    verdict = fail("BIOS \x1b[31m1.0\n\u202eevil\0" + "x" * 500)

    assert verdict.summary.startswith("BIOS ?[31m1.0??evil?xxx")
    assert len(verdict.summary) == 300
    assert harmless("ünïcode is fine", 100) == "ünïcode is fine"
    assert named(range(2)) == "range(0, 2)"
    assert named([1, 2, 3, 4, 5, 6]) == "1, 2, 3, 4 and 2 more"
    assert named({"c", "a", "b"}) == "a, b, c"
    assert (plural(1, "socket"), plural(0, "socket")) == ("1 socket", "0 sockets")

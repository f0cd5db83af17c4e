"""Judgement of all cores at once."""

from typing import Any

from nodeproof.probes.cpu import CpuTopology
from nodeproof.verdict import Status
from nodeproof_bench.cores import Cores
from nodeproof_bench.result import BenchResult
from planted_bench import history, learnt, point, result, verdict

ALIKE = Cores({}, {}, {}, ())


def topology(cores: int = 32) -> CpuTopology:
    return CpuTopology(tuple(range(cores)), tuple(range(cores)), "off", 1, cores)


def flops(*, per_clock: float = 31.96, clock_hz: float = 3e9, value: float | None = None, **more: Any) -> BenchResult:
    value = 32 * per_clock * clock_hz if value is None else value
    more = {"flops_per_clock": per_clock, "clock_hz": clock_hz, "slowest_cpu": 3, **more}
    return result("cpu.flops", value, "FLOP/s", **more)


def frequency(scalar: float = 3.7e9, wide: float = 3.2e9, **more: Any) -> BenchResult:
    points = [point(hz, load=load, slowest_cpu=17, slowest_clock_hz=hz) for load, hz in _loads(scalar, wide)]
    return result("cpu.frequency", scalar, "Hz", points=points, **more)


def _loads(scalar: float, wide: float) -> list[tuple[str, float]]:
    return [("scalar", scalar), ("avx2", (scalar + wide) / 2), ("avx512", wide)]


# cpu.flops_per_clock


def test_operations_in_a_clock_as_a_core_is_built_are_ok() -> None:
    found = verdict("cpu.flops_per_clock", history(flops()))

    assert found.status == Status.OK
    assert found.summary == "a core does 31.96 fp64 operations in one clock with avx512"
    assert verdict("cpu.flops_per_clock", history(flops()), flops_per_clock=32).status == Status.OK


def test_what_is_no_multiple_of_the_lanes_is_a_warning() -> None:
    found = verdict("cpu.flops_per_clock", history(flops(per_clock=28.9)))

    assert found.status == Status.WARN
    assert found.summary.endswith(
        "expected 8, 16, 24, 32, 48, 64: a busy SMT sibling, steal, or a licence for wide vectors"
    )


def test_half_of_what_policy_expects_fails() -> None:
    found = verdict("cpu.flops_per_clock", history(flops(per_clock=15.98)), flops_per_clock=32)

    assert found.status == Status.FAIL
    assert "15.98 fp64 operations in one clock with avx512, expected 32: a busy SMT sibling" in found.summary


def test_half_on_a_busy_machine_is_unknown() -> None:
    busy = history(flops(per_clock=15.98, reason="other processes used 4.0 CPUs"))

    assert verdict("cpu.flops_per_clock", busy, flops_per_clock=32).status == Status.UNKNOWN
    assert verdict("cpu.flops_per_clock", busy).status == Status.OK


def test_more_than_policy_expects_is_a_warning() -> None:
    assert verdict("cpu.flops_per_clock", history(flops()), flops_per_clock=16).status == Status.WARN


def test_a_core_of_unknown_vectors_is_not_judged_without_policy() -> None:
    sve = history(flops(per_clock=13.3, isa="sve"))

    assert verdict("cpu.flops_per_clock", sve).status == Status.OK
    assert verdict("cpu.flops_per_clock", sve, flops_per_clock=16).status == Status.FAIL


def test_operations_in_a_clock_are_learnt_as_a_whole_number() -> None:
    assert learnt("cpu.flops_per_clock", history(flops())) == {"flops_per_clock": 32.0}


# cpu.clock

PROMISED = Cores({}, {}, dict.fromkeys(range(32), 3_400_000), ())


def test_a_clock_above_what_is_promised_is_ok() -> None:
    found = verdict("cpu.clock", history(frequency()), PROMISED)

    assert found.status == Status.OK
    assert found.summary == "all cores at once run at 3.70 GHz (scalar), 3.45 GHz (avx2), 3.20 GHz (avx512)"


def test_a_clock_below_what_the_vendor_promises_fails() -> None:
    found = verdict("cpu.clock", history(frequency(2.4e9, 2.2e9)), PROMISED)

    assert found.status == Status.FAIL
    assert found.summary == (
        "all cores at once run at 2.40 GHz under scalar load (the slowest is CPU 17), expected at least 3.30 GHz"
    )
    assert verdict("cpu.clock", history(frequency(2.4e9, reason="busy")), PROMISED).status == Status.UNKNOWN


def test_policy_says_which_clock_wide_vectors_keep() -> None:
    wide = {"min_hz": 3.5e9, "min_load_hz": {"avx512": 3.1e9}}

    assert verdict("cpu.clock", history(frequency()), ALIKE, **wide).status == Status.OK
    slow = verdict("cpu.clock", history(frequency(wide=2.5e9)), ALIKE, **wide)
    assert slow.status == Status.FAIL
    assert "2.50 GHz under avx512 load" in slow.summary


def test_without_any_expectation_there_is_nothing_to_judge() -> None:
    assert verdict("cpu.clock", history(frequency()), ALIKE).status == Status.SKIP


def test_a_load_that_was_not_measured_is_unknown() -> None:
    found = verdict("cpu.clock", history(frequency()), ALIKE, min_load_hz={"sve": 2e9})

    assert found.status == Status.UNKNOWN
    assert "was not measured under the load of sve" in found.summary


def test_a_clock_is_learnt_for_each_load() -> None:
    assert learnt("cpu.clock", history(frequency()), ALIKE) == {
        "min_hz": 3.58e9,
        "min_load_hz": {"avx2": 3.34e9, "avx512": 3.1e9},
    }


# cpu.flops


def test_all_cores_that_do_what_their_clock_comes_to_are_ok() -> None:
    found = verdict("cpu.flops", history(flops()), topology(), ALIKE)

    assert found.status == Status.OK
    assert found.summary == "32 cores do 3.07 TFLOP/s in fp64 with avx512"


def test_less_than_the_product_fails() -> None:
    found = verdict("cpu.flops", history(flops(value=2.5e12)), topology(), ALIKE)

    assert found.status == Status.FAIL
    assert found.summary == (
        "32 cores do 2.50 TFLOP/s in fp64 with avx512, expected at least 2.91 TFLOP/s "
        "(32 cores x 32.0 x 3.00 GHz = 3.07 TFLOP/s)"
    )
    assert verdict("cpu.flops", history(flops(value=2.5e12, reason="busy")), topology(), ALIKE).status == Status.UNKNOWN


def test_fewer_cores_than_the_node_has_are_not_judged_by_its_limit() -> None:
    few = verdict("cpu.flops", history(flops()), topology(64), ALIKE, min_flops_per_s=6e12)

    assert few.status == Status.UNKNOWN
    assert "may use only 32 of 64 cores" in few.summary
    assert verdict("cpu.flops", history(flops()), topology(), ALIKE, min_flops_per_s=6e12).status == Status.FAIL


def test_a_disturbed_result_is_judged_by_policy_alone_and_only_if_it_is_good() -> None:
    busy = history(flops(reason="busy"))

    assert verdict("cpu.flops", busy, topology(), ALIKE, min_flops_per_s=2.9e12).status == Status.OK
    assert verdict("cpu.flops", busy, topology(), ALIKE, min_flops_per_s=3.2e12).status == Status.UNKNOWN
    assert verdict("cpu.flops", busy, topology(), ALIKE).status == Status.UNKNOWN


def test_flops_are_learnt_of_all_cores_only() -> None:
    assert learnt("cpu.flops", history(flops()), topology(), ALIKE) == {"min_flops_per_s": 2.91e12}
    assert learnt("cpu.flops", history(flops()), topology(64), ALIKE) == {}


def test_cores_of_two_kinds_have_no_peak_but_policy_may_say_what_they_do() -> None:
    two_kinds = Cores({}, {n: 5_100_000 if n < 20 else 3_800_000 for n in range(32)}, {}, ())
    less = history(flops(value=2.5e12))  # the fast ones are more, and the usual clock is theirs
    found = verdict("cpu.flops", less, topology(), two_kinds)

    assert found.status == Status.SKIP
    assert verdict("cpu.flops", less, topology(), two_kinds, min_flops_per_s=2.6e12).status == Status.FAIL


def test_a_clock_that_was_not_measured_is_unknown_in_plain_words() -> None:
    few = flops(value=1e12, flops_per_clock=None)
    busy = flops(value=1e12, flops_per_clock=None, reason="other processes used 1.0 CPUs")
    for check_id, facts in (("cpu.flops_per_clock", ()), ("cpu.flops", (topology(), ALIKE))):
        short, disturbed = (verdict(check_id, history(r), *facts) for r in (few, busy))

        assert (short.status, disturbed.status) == (Status.UNKNOWN, Status.UNKNOWN)
        assert "too few samples, measure for longer" in short.summary
        assert "inconclusive: other processes used 1.0 CPUs" in disturbed.summary

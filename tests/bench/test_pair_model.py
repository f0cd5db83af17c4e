"""The pair model names the node or the path that makes pairs bad, and leaves their partners alone. Seeds are fixed."""

from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from nodeproof_bench.analysis.pair_model import PairFit, PairValue, fit
from nodeproof_bench.analysis.tournament import full, path, sparse


def names(count: int) -> list[str]:
    return [f"n{n:03d}" for n in range(count)]


def measured(
    count: int,
    switches: int,
    rounds: int,
    bad: Iterable[str] = (),
    *,
    share: float = 0.0,
    added: float = 0.0,
    seed: int = 1,
) -> list[PairValue]:
    """Return what pairs reach: 1e9 B/s less a share, or 2 µs and what is added; 2 % noise."""
    nodes, source = names(count), np.random.default_rng(seed)
    at = {node: f"s{n % switches}" for n, node in enumerate(nodes)} if switches else {}
    design = sparse(nodes, rounds, seed, at) if rounds else full(nodes)
    found, places = list[PairValue](), set(bad)
    for one in design:
        for a, b in one.pairs:
            between = path(a, b, at)
            faults, noise = len(places & {a, b, between}), float(np.exp(0.02 * source.normal()))
            value = 2e-6 * noise + faults * added if added else 1e9 * noise * (1 - share) ** faults
            found.append(PairValue(a, b, between, value))
    return found


def named(found: PairFit) -> set[str]:
    return {s.node or s.path for s in found.suspects}


@pytest.mark.parametrize("seed", range(4))
def test_healthy_pairs_have_no_suspects(seed: int) -> None:
    assert fit(measured(128, 8, 8, seed=seed), is_higher_better=True).suspects == ()
    assert fit(measured(128, 8, 8, seed=seed, added=1e-30), is_higher_better=False).suspects == ()


@pytest.mark.parametrize("seed", range(4))
def test_bad_nodes_and_a_bad_path_are_named_by_their_bandwidth(seed: int) -> None:
    bad = {"n003", "n050", "n051", "s1 - s4"}
    found = fit(measured(128, 8, 8, bad, share=0.15, seed=seed), is_higher_better=True)

    assert named(found) == bad
    assert all(s.loss == pytest.approx(0.15, abs=0.04) for s in found.suspects)
    assert found.usual == pytest.approx(1e9, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_bad_nodes_and_a_bad_path_are_named_by_their_latency(seed: int) -> None:
    bad = {"n003", "n050", "n051", "within s2"}
    found = fit(measured(128, 8, 8, bad, added=50e-6, seed=seed), is_higher_better=False)

    assert named(found) == bad
    assert found.node_effects["n050"] == pytest.approx(50e-6, rel=0.05)
    assert found.path_effects["within s2"] == pytest.approx(50e-6, rel=0.05)


def test_better_than_usual_is_nobodys_fault() -> None:
    assert fit(measured(64, 0, 8, {"n003"}, share=-0.3), is_higher_better=True).suspects == ()


@pytest.mark.parametrize("count", [4, 5, 6])
def test_one_bad_node_of_very_few_is_told_from_its_partners(count: int) -> None:
    found = fit(measured(count, 0, 0, {"n002"}, added=1e-3), is_higher_better=False)

    assert named(found) == {"n002"}


def test_with_fewer_than_three_partners_nobody_is_named() -> None:
    found = fit(measured(3, 0, 0, {"n001"}, added=1e-3), is_higher_better=False)

    assert found.suspects == ()
    assert found.untold == ("n000", "n001", "n002")


def test_with_two_switches_the_path_between_them_is_what_is_usual() -> None:
    found = fit(measured(16, 2, 0, {"s0 - s1"}, added=1e-6), is_higher_better=False)

    assert found.suspects == ()


def test_several_values_of_one_pair_are_one() -> None:
    values = measured(32, 4, 0, {"n007"}, share=0.1)
    again = [PairValue(p.b, p.a, p.path, p.value * factor) for p in values for factor in (0.999, 1.001)]

    once, often = fit(values, is_higher_better=True), fit([*values, *again], is_higher_better=True)
    assert named(once) == named(often) == {"n007"}
    assert often.node_effects["n007"] == pytest.approx(once.node_effects["n007"], abs=0.002)


def test_no_pairs_have_no_suspects() -> None:
    assert fit([], is_higher_better=True) == PairFit({}, {}, 0.0, 0.0, (), ())


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_value_that_is_no_positive_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        fit([PairValue("a", "b", "", value)], is_higher_better=True)


def test_equal_values_divide_by_nothing() -> None:
    flat: Mapping[bool, list[PairValue]] = {
        rate: [PairValue(p.a, p.b, p.path, 5.0) for p in measured(16, 4, 0)] for rate in (True, False)
    }
    assert fit(flat[True], is_higher_better=True).suspects == ()
    assert fit(flat[False], is_higher_better=False).suspects == ()

"""What is read of the counters of RDMA ports."""

from typing import Any

import pytest

from ib_counts import IB, counter_files
from nodeproof.errors import FactError
from nodeproof.probes.ib_counters import IbCounters
from support import Machine


def test_all_counters_are_read_and_those_of_a_known_name_are_kept(machine: Machine) -> None:
    counts: dict[str, int | str] = {"symbol_error": 1, "port_xmit_data": 1 << 40, "port_xmit_wait": 3}
    counts |= {"hw/out_of_sequence": 2, "hw/np_cnp_sent": 8, "hw/lifespan": 10, "hw/some_new_counter": 9, "hw/a b": 1}
    fact = IbCounters.read(machine(counter_files({"mlx5_0": counts})))

    port, transport = fact.known["mlx5_0/1"]
    assert port == {"symbol_error": 1, "port_xmit_data": 1 << 40, "port_xmit_wait": 3}
    assert transport == {"out_of_sequence": 2, "np_cnp_sent": 8, "some_new_counter": 9}
    assert {c.name for c in fact.counters()} == {"ib.symbol_error", "ib.port_xmit_wait", "ib.out_of_sequence"}


def test_one_that_counts_links_in_both_places_counts_once(machine: Machine) -> None:
    fact = IbCounters.read(machine(counter_files({"x0": {"link_downed": 1, "hw/link_downed": 7}})))

    assert [(c.name, c.value, c.bits) for c in fact.counters()] == [("ib.link_downed", 1, 8)]


@pytest.mark.parametrize("text", ["many", "-1", str(1 << 64)])
def test_a_garbled_counter_is_unread_and_the_others_are_not(machine: Machine, text: str) -> None:
    fact = IbCounters.read(machine(counter_files({"mlx5_0": {"symbol_error": text, "link_downed": 3}})))

    assert fact.known["mlx5_0/1"].port == {"link_downed": 3}
    assert fact.unread["mlx5_0/1"].kind == "malformed"


def test_virtual_functions_are_not_read(machine: Machine) -> None:
    files = counter_files({"mlx5_1": {"symbol_error": 3}})
    host = machine(files, directories=(f"{IB}/mlx5_1/device/physfn",))

    with pytest.raises(FactError, match="absent"):
        IbCounters.read(host)


def test_a_large_node_stays_far_below_what_a_ledger_holds(machine: Machine) -> None:
    from nodeproof.daemon.memory import MOST_SERIES
    from nodeproof.probes.ib_counters import _PORT_BITS, _TRANSPORT

    counts: dict[str, Any] = dict.fromkeys(_PORT_BITS, 0) | {f"hw/{name}": 0 for name in _TRANSPORT}
    fact = IbCounters.read(machine(counter_files({f"mlx5_{i}": counts for i in range(32)})))
    assert 900 < len(list(fact.counters())) < MOST_SERIES / 4

"""The order of a job: what its environment may say."""

import json
from typing import Any

import pytest

from campaign_results import order
from nodeproof_bench.campaign.order import OrderError, from_json, key_of, to_json

PAIR: dict[str, Any] = {
    "kind": "pairs",
    "benchmarks": ("net.latency",),
    "role": "connect",
    "peer_node": "n2",
    "peer_address": "fd00::2",
    "port": 7000,
    "session": "s",
}


@pytest.mark.parametrize(
    "made",
    [
        order(),
        order(spool="", post="https://login1:7443", ca_file="/etc/ca.pem", seconds=0.5),
        order(**PAIR),
        order(kind="stress", duration_s=600.0, benchmarks=()),
        order(kind="inventory", benchmarks=(), policy="/etc/nodeproof/policy.d"),
        order(only=("memory.triad", "cpu.flops")),
    ],
)
def test_an_order_comes_back_as_it_was(made: Any) -> None:
    assert from_json(to_json(made)) == made


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"campaign": "../x"}, "campaign is '../x'"),
        ({"campaign": 1}, "campaign is 1"),
        ({"task": 0}, "task is 0"),
        ({"task": True}, "task is True"),
        ({"task": 1.0}, "task is 1.0"),
        ({"attempt": 1000}, "attempt is 1000"),
        ({"node": "n[1-9]"}, "node is"),
        ({"node": "n1\n"}, "node is"),
        ({"phase": ""}, "phase is ''"),
        ({"kind": "burn"}, "expected one of inventory, bench"),
        ({"limit_s": 0}, "limit_s is 0"),
        ({"limit_s": "60"}, "limit_s is '60'"),
        ({"limit_s": 10**400}, "limit_s is 1000"),
        ({"benchmarks": "quick"}, "benchmarks is 'quick'"),
        ({"benchmarks": ["--path"] * 101}, "a list of at most 100"),
        ({"benchmarks": ["a b"]}, "benchmarks is ['a b']"),
        ({"only": "cpu.flops"}, "only is 'cpu.flops', expected a list of at most 100 benchmarks"),
        ({"seconds": 0}, "seconds is 0"),
        ({"spool": "shared"}, "an absolute path"),
        ({"spool": "/a\nb"}, "an absolute path"),
        ({"spool": ""}, "exactly one of spool and post"),
        ({"post": "https://login1:7443"}, "exactly one of spool and post"),
        ({"post": "ftp://login1", "spool": ""}, "post is 'ftp://login1'"),
        ({"port": 80}, "port is 80"),
        ({"role": "listen"}, "role goes with the kind pairs"),
        ({"kind": "pairs"}, "role goes with the kind pairs"),
        ({"kind": "pairs", "role": "listen"}, "needs port, session and peer_node"),
        ({**PAIR, "peer_address": ""}, "peer_address is empty"),
        ({**PAIR, "peer_address": "a b"}, "peer_address is 'a b'"),
        ({**PAIR, "session": "a b"}, "session is 'a b'"),
        ({"kind": "stress"}, "duration_s is 0"),
        ({"benchmarks": []}, "benchmarks is empty"),
        ({"extra": 1}, "'extra' is no key"),
    ],
)
def test_a_wrong_order_is_refused_by_its_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OrderError) as raised:
        from_json(json.dumps({**order()._asdict(), **changes}))

    assert says in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"task": NaN}', '{"limit_s": 1e999}', "[" * 60000, " " * 100_000]
)
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(OrderError):
        from_json(text)


def test_a_node_of_an_earlier_version_takes_an_order_without_what_it_does_not_know() -> None:
    assert "only" not in json.loads(to_json(order()))


def test_a_key_that_is_missing_is_named() -> None:
    made = order()._asdict()
    del made["node"]
    with pytest.raises(OrderError, match="node is missing"):
        from_json(json.dumps(made))


def test_the_name_of_a_result_says_whose_it_is() -> None:
    key = order(node="gpu-1.rack2").key

    assert key.name == "1.1.gpu-1.rack2"
    assert key_of(key.campaign, key.name) == key


@pytest.mark.parametrize("name", ["", "1.1", "1.1.", "0.1.n1", "01.1.n1", "1.1.n[1]", "1.1.n1/..", "\u0661.1.n"])
def test_another_name_is_nobodys(name: str) -> None:
    with pytest.raises(OrderError):
        key_of("c", name)

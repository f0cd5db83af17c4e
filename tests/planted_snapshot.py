"""All that an agent could know, for whoever shows it."""

from nodeproof.daemon.snapshot import CheckNow, GroupNow, IncidentNow, Snapshot
from nodeproof.events.ledger import CounterSeries

NOW = 1_764_190_000.25


def check_now(id_: str, status: str, on_fail: str = "drain", since: float = NOW - 600) -> CheckNow:
    return CheckNow(id_, status, "a sentence", "a remedy", on_fail, since, NOW - 5, 0.012, fails=2, passes=0)


SNAPSHOT = Snapshot(
    at=NOW,
    started_at=NOW - 86400,
    version="0.1.0",
    node="gpu001",
    boot_id="0b5c",
    mode="enforce",
    policy_digest="abcdef123456",
    policy_loaded_at=NOW - 80000,
    policy_problem="",
    checks=(
        check_now("gpu.count", "fail"),
        check_now("ib.state", "fail", "report", NOW - 60),
        check_now("nic.speed", "unknown"),
        check_now("cpu.governor", "ok"),
    ),
    groups=(
        GroupNow("health", 300.0, NOW - 5, 1.5, NOW + 295, 288, 1),
        GroupNow("counters", 60.0, NOW - 30, 0.2, NOW + 30, 1440, 0),
    ),
    incidents=(IncidentNow("pci.link", "pci:0000:3b:00.0", "a sentence", ("gpu.count", "ib.state"), NOW - 600),),
    sources={"kmsg": "", "nvml": "no NVIDIA driver"},
    events={"gpu.xid": 3},
    lost={"kmsg": 7},
    counters=(
        CounterSeries("edac.corrected", "dimm:CPU0_DIMM_A1", NOW - 900, NOW - 30, 42, ((NOW - 60, 2),)),
        CounterSeries("ib.symbol_error", "ib:mlx5_0/1", NOW - 900, NOW - 30, 65535, (), is_saturated=True, resets=2),
    ),
    actions={"nothing": 280, "drained": 1},
    last_action={"intent": "drain", "result": "held_back", "summary": "a sentence", "reason": "a reason"},
    out_of_service="nodeproof: gpu.count: 7 GPUs, expected 8",
    gate_until=NOW + 700,
    history_bytes=1 << 20,
    cpu_s=12.5,
    resident_bytes=50 << 20,
    warnings=("a warning",),
    rules=("gpu.xid", "kernel.oom"),
)

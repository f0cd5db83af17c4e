"""The agent under systemd, by the unit that is shipped: what it may not do must not change what it finds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab_site import REPOSITORY
from vm_lab import boot

pytestmark = pytest.mark.vm

MACHINE = ("--systemd", "--cpus", "2", "--numa", "2", "--nvme", "NVME0001", "--nic", "2", "--ipmi")

#: A watchdog that a test can wait for.
SCRIPT = """
set -e
mkdir -p /opt/nodeproof/bin /etc/nodeproof/policy.d /etc/systemd/system/nodeproof-agent.service.d
ln -s /usr/bin/python3 /opt/nodeproof/bin/python
cp /host/10.toml /etc/nodeproof/policy.d/
cp /host/nodeproof-agent.service /etc/systemd/system/
printf '[Service]\\nWatchdogSec=30\\n' > /etc/systemd/system/nodeproof-agent.service.d/lab.conf
for nic in /sys/class/net/eth*; do ip link set "${nic##*/}" up; done
show() { systemctl show --property "$1" --value nodeproof-agent; }
main_pid() { show MainPID; }
status() { nodeproof check --now --json > /host/"$1".json || true; }
wait_for() { for _ in $(seq 300); do "$@" && return; sleep 0.5; done; echo "waited for $*"; return 1; }
another() { local pid=$(main_pid); [ "$pid" != 0 -a "$pid" != "$1" ]; }
active() { [ "$(show ActiveState)" = active ]; }
judged() { [ -e /run/nodeproof/gate ]; }

systemctl daemon-reload
systemctl start nodeproof-agent
wait_for judged
status by_agent
nodeproof check --json > /host/by_hand.json || true
show MemoryCurrent > /host/memory_bytes

echo 'nonsense' > /etc/nodeproof/policy.d/20.toml
systemctl reload nodeproof-agent
sleep 3
rm /etc/nodeproof/policy.d/20.toml
systemctl reload nodeproof-agent

before=$(main_pid); kill -9 "$before"; wait_for another "$before"; wait_for active; wait_for judged
before=$(main_pid); kill -STOP "$before"; wait_for another "$before"; wait_for active
wait_for judged
systemctl stop nodeproof-agent
show Result > /host/result
ls -A /run/nodeproof > /host/left 2>/dev/null || true
journalctl -u nodeproof-agent --no-pager -o cat > /host/journal
"""


@pytest.fixture(scope="module")
def share(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    share = tmp_path_factory.mktemp("share")
    (share / "10.toml").write_text("[agent]\njitter_share = 0.0\n")
    shutil.copy(REPOSITORY / "packaging/systemd/nodeproof-agent.service", share)
    boot(site, share, MACHINE, SCRIPT, timeout_s=500)
    return share


def by_id(share: Path, name: str, key: str) -> dict[str, dict[str, Any]]:
    return {c["id"]: c for c in json.loads((share / f"{name}.json").read_text())[key]}


def test_in_its_sandbox_the_agent_finds_what_root_finds(share: Path) -> None:
    agent, hand = by_id(share, "by_agent", "checks"), by_id(share, "by_hand", "results")

    assert agent.keys() == hand.keys()
    differing = {i: (agent[i]["summary"], hand[i]["summary"]) for i in agent if agent[i]["status"] != hand[i]["status"]}
    assert differing == {}
    assert "unknown" not in {c["status"] for c in agent.values()}


def test_all_its_processes_stay_within_its_limit_of_memory(share: Path) -> None:
    assert int((share / "memory_bytes").read_text()) < 60 << 20


def test_a_broken_policy_is_told_and_the_next_good_one_read(share: Path) -> None:
    told = (share / "journal").read_text()

    assert "policy is broken, the last good one stays: /etc/nodeproof/policy.d/20.toml:1:" in told
    assert told.index("policy was read") > told.index("policy is broken")


def test_systemd_starts_it_again_after_a_kill_and_a_hang(share: Path) -> None:
    told = (share / "journal").read_text()

    assert "code=killed, status=9/KILL" in told
    assert "Watchdog timeout" in told
    assert told.count("Started nodeproof-agent.service") == 3


def test_it_stops_well_and_leaves_no_gate_file(share: Path) -> None:
    assert (share / "result").read_text().strip() == "success"
    assert (share / "left").read_text() == ""

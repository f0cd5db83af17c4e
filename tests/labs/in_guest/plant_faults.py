"""Plant one fault after the other in this virtual machine, beside the agent, and note what the agent makes of each.

`tests/labs/test_agent.py` runs it, and judges what it notes in the directory that is its first argument. The second
may be `flood`, for that alone.
"""

import ctypes
import glob
import json
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from nodeproof.daemon.control import ask
from nodeproof.daemon.gate import read

T = TypeVar("T")

RUN_DIR = "/run/nodeproof"

#: An emulated CPU is slow, and a health check takes its time on it.
PATIENCE_S = 90.0

#: A GPU that this machine does not have: its driver's lines are written for it.
GPU = "0000:3b:00.0"
GPU_LOST = (
    "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.",
    "pcieport 0000:3a:00.0: AER: Uncorrectable (Fatal) error message received from 0000:3b:00.0",
)

#: QEMU emulates no memory controller that the kernel's EDAC drivers know.
DIMM_LOST = (
    "EDAC MC2: 1 UE memory read error on CPU_SrcID#1_MC#0_Chan#0_DIMM#0 (channel:0 slot:0 page:0x4d2f80b offset:0xa40 "
    "grain:32 -  err_code:0x00a0:0x0090)"
)

#: A line of a flood: one of an event that can be counted.
FLOOD_LINE = b"nvme nvme7: I/O 161 QID 2 timeout, aborting\n"
FLOOD_LINES = 10_000


def until(look: Callable[[], T | None], what: str) -> T:
    """Return what `look` sees as soon as that is something."""
    until_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        if time.monotonic() > until_s:
            raise TimeoutError(what)
        time.sleep(0.02)
    return found


def monitor(command: str) -> None:
    """Have QEMU do something to this machine."""
    done = subprocess.run(["vm-monitor", command], capture_output=True, text=True, check=True)
    if "rror" in done.stdout and "aer" not in command:
        raise OSError(f"{command}: {done.stdout}")


def log(*lines: str) -> None:
    """Leave lines in the kernel log, each in one record as the kernel does."""
    for line in lines:
        with open("/dev/kmsg", "wb", buffering=0) as kernel_log:
            kernel_log.write(line.encode() + b"\n")


def status() -> dict[str, Any]:
    return ask(RUN_DIR, {"do": "status"}, PATIENCE_S)


def check(check_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next((c for c in status()["checks"] if c["id"] == check_id), {"status": "none"})
    return found


def gate_says(*check_ids: str) -> list[str]:
    """Return what a health check is told of these checks by a gate that fails: it names the cause first."""
    answer = read(RUN_DIR).healthcheck
    return [line for line in answer.lines if any(i in line for i in check_ids)] if answer.exit_code == 1 else []


class Planter:
    """Plants faults, and keeps what came of each by its name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found: dict[str, Any] = {}

    def keep(self, name: str, found: object) -> None:
        self.found[name] = found
        (self.directory / "found.json").write_text(json.dumps(self.found, indent=1))

    def plant(self, name: str, plant: Callable[[], None], check_id: str, more: tuple[str, ...] = ()) -> None:
        """Plant a fault and wait for the gate to fail for it, then have the node taken for repaired.

        `more` are checks that find it too.
        """
        before = set(read(RUN_DIR).healthcheck.lines)
        began_s = time.monotonic()
        plant()
        planted_s = time.monotonic()
        lines = until(lambda: set(gate_says(check_id, *more)) - before, f"{name}: the gate is quiet")
        took_s = time.monotonic() - began_s
        for other in (check_id, *more):
            until(lambda: check(other)["status"] in ("fail", "warn"), f"{name}: no finding of {other}")  # noqa: B023  # used at once
        now = status()
        self.keep(
            name,
            {
                "took_s": took_s,
                "planting_s": planted_s - began_s,
                "lines": sorted(lines),
                "check": next(c for c in now["checks"] if c["id"] == check_id),
                "incidents": now["incidents"],
                "action": now["last_action"],
            },
        )
        self.repair(check_id, *more)

    def repair(self, *check_ids: str) -> None:
        ask(RUN_DIR, {"do": "resume"}, PATIENCE_S)
        for check_id in check_ids:
            until(lambda: check(check_id)["status"] == "ok", f"{check_id} is not over")  # noqa: B023  # used at once


def report_pcie_errors() -> None:
    """Let errors through to the root ports and into the kernel, as firmware does (setpci(8), PCIe base specification).

    DEVCTL of each device and the SERR# bits of each bridge: this machine's firmware leaves them off, and the kernel
    sets DEVCTL only for drivers that ask.
    """
    for path in glob.glob("/sys/bus/pci/devices/*"):
        address = os.path.basename(path)
        kind = Path(path, "class").read_text()
        bridge = ["BRIDGE_CONTROL.w=2:2"] if kind.startswith("0x0604") else []
        if bridge or not address.startswith("0000:00:"):
            subprocess.run(["setpci", "-s", address, "COMMAND.w=100:100", "CAP_EXP+8.w=f:f", *bridge], check=True)


def correct_pcie_error() -> None:
    """Have the kernel find one corrected error of the virtio NIC (drivers/pci/pcie/aer_inject.c, struct aer_error_inj).

    QEMU's own `pcie_aer_inject_error -c` sets the device's status and sends no message of it.
    """
    subprocess.run(["modprobe", "aer_inject"], check=True)
    (network,) = Path("/sys/bus/pci/drivers/virtio-pci").glob("0000:*/virtio*/net")
    domain, bus, place = network.parents[1].name.split(":")
    device, function = place.split(".")
    bad_tlp = 1 << 6
    numbers = (int(bus, 16), int(device, 16), int(function), 0, bad_tlp, 0, 0, 0, 0, int(domain, 16))
    with open("/dev/aer_inject", "wb", buffering=0) as injector:
        injector.write(struct.pack("=BBBx7I", *numbers))


def own_page() -> tuple[mmap.mmap, int]:
    """Return a page of this process, and its physical address (Documentation/admin-guide/mm/pagemap.rst)."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[0] = 1
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(address // mmap.PAGESIZE * 8)
        (entry,) = struct.unpack("Q", pagemap.read(8))
    return page, (entry & (1 << 55) - 1) * mmap.PAGESIZE


def correct_memory_errors() -> None:
    """Leave 12 corrected errors of a memory controller in the banks of one CPU, which the kernel polls."""
    Path("/sys/devices/system/machinecheck/machinecheck0/check_interval").write_text("1")
    for _ in range(2):
        for bank in range(4, 10):  # VAL, MISCV, ADDRV, one corrected error; MCACOD: memory controller, read
            monitor(f"mce 0 {bank} 0x8c00004000010090 0 0x12345000 0x8c")
        time.sleep(3)


def lose_memory(address: int) -> None:
    """Report an uncorrected error that nobody has used yet, found by scrubbing (Intel SDM volume 3B, 15.6: SRAO)."""
    monitor(f"mce -b 0 9 0xbd000000000000c0 5 {address:#x} 0x8c")


def marked() -> int:
    """Leave a line in the kernel log and return its sequence number."""
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
        log("marks the end of a flood")
        return int(os.read(descriptor, 8192).split(b",")[1])
    finally:
        os.close(descriptor)


def tell_benign(planter: Planter, benign: Path) -> None:
    """Write the benign corpus, then an event: when that was seen, all before it was."""
    before = status()
    log(*benign.read_text().splitlines())
    log("Lustre: scratch-OST0001-osc-1: Connection to scratch-OST0001 (at 10.0.0.9@o2ib) was lost; in progress")
    after = until(lambda: s if "event.lustre_lost" in (s := status())["events"] else None, "the corpus was not read")
    new = {rule: n - before["events"].get(rule, 0) for rule, n in after["events"].items()}
    worse = [c["id"] for c in after["checks"] if c["status"] in ("warn", "fail") and c["id"].startswith("event.")]
    planter.keep("benign", {"events": {rule: n for rule, n in new.items() if n}, "findings": worse})


def flood(planter: Planter, agent_pid: int) -> None:
    """Write 10,000 lines as fast as can be, and note what became of each."""
    first, before = marked(), status()
    began_s = time.monotonic()
    with open("/dev/kmsg", "wb", buffering=0) as kernel_log:
        kernel_log.writelines(FLOOD_LINE for _ in range(FLOOD_LINES))
    took_s, last = time.monotonic() - began_s, marked()

    def taken(now: dict[str, Any]) -> tuple[int, int]:
        seen = now["events"].get("event.nvme_timeout", 0)
        return seen, now["lost"].get("kmsg", 0) - before["lost"].get("kmsg", 0)

    until(lambda: sum(taken(status())) >= FLOOD_LINES, "the flood was not read")
    time.sleep(1)  # for what would be counted twice
    seen, lost = taken(status())
    memory = memory_kib(agent_pid)
    kept = {"written": FLOOD_LINES, "records": last - first - 1, "seconds": took_s, "seen": seen, "lost": lost}
    planter.keep("flood", {**kept, "memory_kib": memory})


def memory_kib(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines) if key in _SIZES}


_SIZES = ("VmRSS", "VmHWM", "RssAnon", "RssFile")


def main() -> None:
    directory = Path(sys.argv[1])
    planter = Planter(directory)
    Path("/proc/sys/kernel/printk_devkmsg").write_text("on\n")
    report_pcie_errors()
    command = [sys.executable, "-I", "-m", "nodeproof", "agent", "--policy", str(directory / "policy")]
    with (directory / "agent.log").open("wb") as agent_log:
        agent = subprocess.Popen(command, stderr=agent_log)
    try:
        until(lambda: Path(RUN_DIR, "gate").exists(), "no health check")
        until(lambda: all(group["passes"] for group in status()["groups"]), "not each group of checks was judged")
        if sys.argv[2:] == ["flood"]:
            flood(planter, agent.pid)
        else:
            plant_all(planter, agent.pid)
    finally:
        agent.terminate()
        planter.keep("exit_code", agent.wait(PATIENCE_S))


def plant_all(planter: Planter, agent_pid: int) -> None:
    planter.keep("at_rest", {"status": status(), "memory_kib": memory_kib(agent_pid)})
    tell_benign(planter, planter.directory / "benign")
    planter.plant("xid", lambda: log(GPU_LOST[0]), "event.xid")
    planter.plant("gpu_lost", lambda: log(*GPU_LOST), "event.gpu_lost", ("event.xid", "event.aer_fatal"))
    planter.plant("dimm", lambda: log(DIMM_LOST), "event.edac_uncorrected")
    planter.plant("link", lambda: monitor("set_link vio0 off"), "device.link_down")
    monitor("set_link vio0 on")
    planter.plant("nvme", lambda: monitor("device_del nvme0"), "device.removed")
    correct_pcie_error()
    seen = until(
        lambda: c if "once" in (c := check("event.aer_corrected"))["summary"] else None, "no corrected PCIe error"
    )
    planter.keep("aer_corrected", seen)
    fatal = ("event.aer_unrecovered",)
    # of another port, for the kernel's injector hides what the first one really says
    planter.plant("aer_fatal", lambda: monitor("pcie_aer_inject_error rp0 DLP"), "event.aer_fatal", fatal)
    flood(planter, agent_pid)
    planter.repair("event.nvme_timeout")
    correct_memory_errors()
    until(lambda: check("event.mce_corrected")["status"] == "warn", "no finding of corrected errors")
    planter.keep("memory_corrected", check("event.mce_corrected"))
    planter.repair("event.mce_corrected")
    page, address = own_page()
    planter.plant("memory_lost", lambda: lose_memory(address), "event.memory_failure", ("event.mce_uncorrected",))
    del page
    planter.keep("at_the_end", {"status": status(), "memory_kib": memory_kib(agent_pid)})


if __name__ == "__main__":
    main()

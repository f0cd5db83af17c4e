"""Devices that leave and come back: what the kernel's events come to, and that they are followed for real."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from nodeproof.daemon.inventory import Inventory, Told, Uevent
from nodeproof.daemon.sources.uevent import Devices
from nodeproof.events import Event
from support import Machine

PCI = "/sys/bus/pci/devices"
ROOT = "/devices/pci0000:3a/0000:3a:00.0"
GPU, NIC, VF, SATA = "0000:3b:00.0", "0000:3c:00.0", "0000:3c:00.1", "0000:00:17.0"
IB_PATH = f"{ROOT}/{NIC}/infiniband/mlx5_0"
DISK_PATH = f"/devices/pci0000:00/{SATA}/ata1/host0/target0:0:0/0:0:0:0/block/sda"

IDS = {
    GPU: ("10DE:2330", "30200"),
    NIC: ("15B3:1021", "20700"),
    VF: ("15B3:101E", "20700"),
    SATA: ("8086:1BB2", "10601"),
}


def variables(address: str) -> dict[str, str]:
    pci_id, pci_class = IDS[address]
    return {"PCI_ID": pci_id, "PCI_CLASS": pci_class, "PCI_SLOT_NAME": address}


def inventory(machine: Machine) -> Inventory:
    """A GPU, an adapter with a virtual function and its RDMA device, a SATA disk, and what does not count."""
    files = {f"{PCI}/{a}/uevent": "".join(f"{k}={v}\n" for k, v in variables(a).items()) for a in IDS}
    links = {
        "/sys/class/infiniband/mlx5_0": f"../..{IB_PATH}",
        "/sys/class/infiniband/mlx5_1": f"../../devices/pci0000:3a/0000:3a:00.0/{VF}/infiniband/mlx5_1",
        "/sys/class/infiniband/rxe0": "../../devices/virtual/infiniband/rxe0",
        "/sys/class/infiniband/mlx5_2": f"../..{ROOT}/{NIC}/mlx5_core.sf.2/infiniband/mlx5_2",
        "/sys/block/sda": f"..{DISK_PATH}",
        "/sys/block/loop0": "../devices/virtual/block/loop0",
        "/sys/block/nvme0n1": f"..{ROOT}/{NIC}/nvme/nvme0/nvme0n1",
        "/sys/block/sdb": f"../devices/pci0000:00/{SATA}/usb1/1-1/1-1:1.0/host1/target1:0:0/1:0:0:0/block/sdb",
    }
    files |= {f"{PCI}/{VF}/physfn/uevent": "\n", f"/sys{ROOT}/{VF}/physfn/uevent": "\n"}
    made = Inventory(machine(files | dict.fromkeys(links, ""), links=links))
    made.known = made.scan()
    return made


def pci(action: str, address: str) -> Uevent:
    return Uevent(action, "pci", f"{ROOT}/{address}", variables(address))


def test_what_counts_is_found_at_the_start(machine: Machine) -> None:
    assert inventory(machine).known == {
        f"pci:{GPU}": f"gpu {GPU} (10de:2330)",
        f"pci:{NIC}": f"ib {NIC} (15b3:1021)",
        f"pci:{SATA}": f"storage {SATA} (8086:1bb2)",
        "ib:mlx5_0": f"RDMA device mlx5_0 of {NIC}",
        "disk:sda": f"disk sda of {SATA}",
    }


def test_a_gpu_that_falls_off_the_bus_is_told_and_so_is_its_return(machine: Machine) -> None:
    devices = inventory(machine)

    told = [devices.take(pci(action, GPU)) for action in ("unbind", "remove", "add", "bind")]
    assert [(t.rule, t.variant, t.text) for t in told if t] == [
        ("device.removed", "unbound", f"gpu {GPU} (10de:2330) has no driver any more"),
        ("device.removed", "", f"gpu {GPU} (10de:2330) left the bus"),
        ("device.added", "", f"gpu {GPU} (10de:2330) is there"),
    ]
    assert {t.part for t in told if t} == {f"pci:{GPU}"}


def test_a_driver_that_is_taken_off_and_put_back(machine: Machine) -> None:
    devices = inventory(machine)

    assert devices.take(pci("bind", GPU)) is None  # its first, after the agent started
    unbound, bound = devices.take(pci("unbind", GPU)), devices.take(pci("bind", GPU))
    assert unbound
    assert (unbound.rule, unbound.variant) == ("device.removed", "unbound")
    assert bound
    assert bound.rule == "device.added"


def test_virtual_functions_come_and_go_unnoticed(machine: Machine) -> None:
    devices = inventory(machine)

    assert [devices.take(pci(action, VF)) for action in ("add", "bind", "unbind", "remove")] == [None] * 4


def test_a_device_that_is_new_counts_from_its_driver_on(machine: Machine) -> None:
    devices = inventory(machine)
    new = Uevent("add", "pci", f"{ROOT}/0000:3d:00.0", {"PCI_ID": "144D:A80A", "PCI_CLASS": "10802"})

    assert devices.take(new) is None
    bound = devices.take(new._replace(action="bind"))
    assert bound == Told(
        "device.added", "pci:0000:3d:00.0", "nvme 0000:3d:00.0 (144d:a80a) is there", "pci:0000:3d:00.0"
    )
    gone = devices.take(new._replace(action="remove"))
    assert gone
    assert gone.rule == "device.removed"


def test_what_a_node_is_not_bought_for_is_none_of_our_business(machine: Machine) -> None:
    devices = inventory(machine)
    sound = Uevent("bind", "pci", f"{ROOT}/0000:3e:00.0", {"PCI_ID": "8086:A1F0", "PCI_CLASS": "40300"})
    broken = Uevent("bind", "pci", f"{ROOT}/0000:3e:00.1", {"PCI_ID": "", "PCI_CLASS": "x"})

    assert [devices.take(e) for e in (sound, sound._replace(action="remove"), broken)] == [None] * 3


def test_an_administrators_trigger_says_nothing(machine: Machine) -> None:
    devices = inventory(machine)
    synthetic = Uevent("remove", "pci", f"{ROOT}/{GPU}", variables(GPU) | {"SYNTH_UUID": "0"})

    assert devices.take(synthetic) is None
    assert f"pci:{GPU}" in devices.known


def test_an_rdma_device_that_udev_renames_keeps_its_name(machine: Machine) -> None:
    devices = inventory(machine)
    renamed = IB_PATH.replace("mlx5_0", "ibp59s0")

    moved = devices.take(Uevent("move", "infiniband", renamed, {"DEVPATH_OLD": IB_PATH}))
    assert moved
    assert (moved.rule, moved.part) == ("device.added", "ib:ibp59s0")
    assert devices.take(Uevent("remove", "infiniband", IB_PATH, {})) is None
    gone = devices.take(Uevent("remove", "infiniband", renamed, {}))
    assert gone == Told(
        "device.removed", "ib:ibp59s0", f"RDMA device ibp59s0 of {NIC} is gone", f"pci:{NIC}", "unbound"
    )


def test_a_disk_that_goes_is_missing_but_a_stick_is_not(machine: Machine) -> None:
    devices = inventory(machine)
    stick = f"/devices/pci0000:00/{SATA}/usb1/1-1/host1/block/sdc"

    for action in ("add", "remove"):
        assert devices.take(Uevent(action, "block", stick, {"DEVTYPE": "disk"})) is None
    assert devices.take(Uevent("add", "block", f"{DISK_PATH}/sda1", {"DEVTYPE": "partition"})) is None
    gone = devices.take(Uevent("remove", "block", DISK_PATH, {"DEVTYPE": "disk"}))
    assert gone == Told("device.removed", "disk:sda", f"disk sda of {SATA} is gone", f"pci:{SATA}")
    back = devices.take(Uevent("add", "block", DISK_PATH, {"DEVTYPE": "disk"}))
    assert back
    assert back.rule == "device.added"


def test_after_a_loss_the_difference_is_told(machine: Machine) -> None:
    devices = inventory(machine)
    now = {part: words for part, words in devices.known.items() if part != f"pci:{GPU}"} | {"pci:new": "gpu new"}

    told = list(devices.compared(now))
    assert [(t.rule, t.part) for t in told] == [("device.removed", f"pci:{GPU}"), ("device.added", "pci:new")]
    assert devices.known == now


def test_the_kernels_events_are_followed() -> None:
    delivered: list[Event] = []

    async def follow() -> Devices:
        source = Devices(delivered.extend, lambda _: None, "boot")
        source.start(asyncio.get_running_loop())
        assert source.problem == ""
        source.stop()
        return source

    assert asyncio.run(follow()).problem == "stopped"
    assert [(e.rule, e.variant, e.source) for e in delivered] == [("device.present", "uevent", "uevent")]


@pytest.mark.root
def test_what_the_kernel_says_of_a_device_comes_through() -> None:
    """An event that is asked for by hand: real, but for the mark by which it is told from others and says nothing."""
    uevent = next(iter(sorted(Path(PCI).glob("*/uevent"))), None)
    if uevent is None or not os.access(uevent, os.W_OK):
        pytest.skip("no PCI device that can be asked for an event")
    delivered: list[Event] = []
    seen: list[Uevent] = []

    async def follow(path: Path) -> None:
        source = Devices(delivered.extend, _never, "boot")
        source.start(asyncio.get_running_loop())
        take = source._inventory.take
        source._inventory.take = lambda event: seen.append(event) or take(event)  # type: ignore[method-assign, func-returns-value]
        _write(path, "change")
        for _ in range(1000):
            if any(event.path.endswith(path.parent.name) for event in seen):
                break
            await asyncio.sleep(0.01)
        source.stop()

    asyncio.run(follow(uevent))
    mine = [event for event in seen if event.path.endswith(uevent.parent.name)]
    assert mine
    assert (mine[0].action, mine[0].subsystem) == ("change", "pci")
    assert mine[0].path == str(uevent.parent.resolve()).removeprefix("/sys")
    assert {"PCI_ID", "PCI_CLASS", "SYNTH_UUID"} <= mine[0].variables.keys()
    assert [event.rule for event in delivered] == ["device.present"]


def test_without_libudev_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyudev", None)

    async def follow() -> str:
        source = Devices(_never, _never, "boot")
        source.start(asyncio.get_running_loop())
        problem = source.problem
        source.stop()
        return problem

    assert asyncio.run(follow()).startswith("no device events: ")


def _write(path: Path, word: str) -> None:
    path.write_text(word)


def _never(what: object) -> None:
    raise AssertionError(what)

"""Device files, interfaces and modules of RDMA adapters."""

from pathlib import Path
from typing import Any

import pytest

from ib_node import IB, IbNode
from nodeproof.check import registry
from nodeproof.engine.worker import read_facts
from nodeproof.host import Host
from nodeproof.host.device_file import device_file
from nodeproof.host.rdma_netlink import rdma_links
from nodeproof.probes.ib_ports import Gid, IbGids
from nodeproof.verdict import Status
from support import Machine, plant, verdict_of

NET = "/sys/class/net"


@pytest.fixture
def node() -> IbNode:
    return IbNode(count=2)


def learnt(check_id: str, host: Host) -> dict[str, Any]:
    spec = registry()[check_id]
    readings = read_facts(host, spec.facts, deadline_s=5, until_s=float("inf"))
    assert spec.learn is not None
    return dict(spec.learn(*(readings[fact].value for fact in spec.facts)))


def test_files_of_a_sound_node_pass_and_are_learnt(node: IbNode, tmp_path: Path) -> None:
    host = node.plant(tmp_path)

    assert verdict_of("ib.device_files", host).summary == "7 device files of 2 adapters in order"
    assert learnt("ib.device_files", host) == {
        "required": ("uverbs", "umad", "issm", "rdma_cm"),
        "modes": {"uverbs": "0666", "umad": "0600", "issm": "0600", "rdma_cm": "0666"},
    }


@pytest.mark.parametrize(
    ("gone", "required", "words"),
    [
        ("/infiniband_verbs/", "uverbs", "there is no uverbs file, expected 2: is module ib_uverbs loaded?"),
        ("/infiniband_mad/", "umad", "there is no umad file, expected 2: is module ib_umad loaded?"),
        ("/rdma_cm/", "rdma_cm", "there is no rdma_cm file, expected 1: is module rdma_ucm loaded?"),
        ("/uverbs1/", "uverbs", "mlx5_1 without a uverbs file, expected one each"),
    ],
)
def test_a_module_that_is_not_loaded_is_named(
    node: IbNode, tmp_path: Path, gone: str, required: str, words: str
) -> None:
    node.files = {path: text for path, text in node.files.items() if gone not in path}

    verdict = verdict_of("ib.device_files", node.plant(tmp_path), required=(required,))
    assert verdict.status == Status.FAIL
    assert verdict.summary == words


def test_a_device_of_the_kernel_without_its_file_is_named(node: IbNode, tmp_path: Path) -> None:
    call = (device_file, "/dev/infiniband/uverbs1")
    del node.calls[call]
    node.errors["device_file /dev/infiniband/uverbs1"] = ("absent", "ENOENT")

    verdict = verdict_of("ib.device_files", node.plant(tmp_path))
    assert (
        verdict.summary == "/dev/infiniband/uverbs1 missing in /dev, expected one for each uverbs device of the kernel"
    )
    node.errors["device_file /dev/infiniband/uverbs1"] = ("denied", "EACCES")
    assert verdict_of("ib.device_files", node.plant(tmp_path)).status == Status.UNKNOWN


def test_a_plain_file_in_place_of_the_device_is_none(node: IbNode, tmp_path: Path) -> None:
    node.calls[device_file, "/dev/infiniband/uverbs1"]["is_character_device"] = False

    assert verdict_of("ib.device_files", node.plant(tmp_path)).status == Status.FAIL


@pytest.mark.parametrize(
    ("mode", "status"), [("0666", Status.OK), ("666", Status.OK), ("0660", Status.FAIL), ("rw", Status.UNKNOWN)]
)
def test_modes_are_compared_as_numbers(node: IbNode, tmp_path: Path, mode: str, status: Status) -> None:
    assert verdict_of("ib.device_files", node.plant(tmp_path), modes={"uverbs": mode}).status == status


def test_this_machine_has_a_null_device_and_no_such_adapter() -> None:
    null = Host().call(device_file, "/dev/null")

    assert (null["is_character_device"], null["device"]) == (True, "1:3")
    with pytest.raises(FileNotFoundError):
        device_file("/dev/infiniband/uverbs99999")


#: Two RoCE adapters, and what sysfs and netlink say of their interfaces.
ROCE = {
    f"{IB}/mlx5_{n}/{path}": text
    for n in (0, 1)
    for path, text in {
        "node_type": "1: CA",
        "node_guid": f"b83f:d203:00c2:5d3{n}",
        f"device/net/eth{n}/mtu": "9000",
        f"device/net/eth{n}/dev_port": "0",
        "ports/1/gids/0": f"fe80:0000:0000:0000:ba3f:d2ff:fec2:5d3{n}",
        "ports/1/gids/1": f"0000:0000:0000:0000:0000:ffff:0a00:000{n}",
        "ports/1/gids/2": "0000:0000:0000:0000:0000:0000:0000:0000",
        "ports/1/gid_attrs/types/0": "IB/RoCE v1",
        "ports/1/gid_attrs/types/1": "RoCE v2",
        "ports/1/gid_attrs/ndevs/0": f"eth{n}",
        "ports/1/gid_attrs/ndevs/1": f"eth{n}",
    }.items()
}


def told(*netdevs: str | None) -> dict[str, Any]:
    """Return what netlink says of adapters with these interfaces."""
    ports = [{"state": 4, "physical_state": 5} | ({"netdev": netdev} if netdev else {}) for netdev in netdevs]
    return {f"mlx5_{n}": {"node_type": 1, "protocol": "roce", "ports": {"1": port}} for n, port in enumerate(ports)}


def roce(root: Path, *netdevs: str | None, **files: str) -> Host:
    adapters = {f"{IB}/mlx5_{n}": f"../../devices/pci0000:{n}0/0000:{n}1:00.0/infiniband/mlx5_{n}" for n in (0, 1)}
    changed = {path.replace("__", "/"): text for path, text in files.items()}
    more = {f"{IB}/{path}": text for path, text in changed.items() if not path.startswith("net/")}
    more |= {f"/sys/class/{path}": text for path, text in changed.items() if path.startswith("net/")}
    return plant(root, ROCE | more, links=adapters, calls={(rdma_links,): told(*netdevs)})


CLAIM = {"mlx5_0/1": "eth0", "mlx5_1/1": "eth1"}


def test_ports_bound_as_claimed_pass(tmp_path: Path) -> None:
    host = roce(tmp_path, "eth0", "eth1")

    verdict = verdict_of("ib.netdev_binding", host, expected=CLAIM)
    assert verdict.status == Status.OK
    assert verdict.summary == "2 of 2 RDMA ports bound to an interface, as all of the kernel says"
    assert learnt("ib.netdev_binding", host) == {"expected": CLAIM}


def test_netlink_and_sysfs_that_disagree_are_a_finding_without_policy(tmp_path: Path) -> None:
    verdict = verdict_of("ib.netdev_binding", roce(tmp_path, "eth1", "eth1"))

    assert verdict.status == Status.FAIL
    assert verdict.summary == "mlx5_0/1 belongs to eth1 by netlink, expected eth0, which its PCI function has"


def test_a_gid_of_another_adapters_interface_is_a_finding(tmp_path: Path) -> None:
    host = roce(tmp_path, "eth0", "eth1", mlx5_1__ports__1__gid_attrs__ndevs__1="eth0")

    verdict = verdict_of("ib.netdev_binding", host)
    assert verdict.summary == "mlx5_1/1 has its GID 1 from eth0, another adapter's, expected eth1"


def test_a_gid_of_a_vlan_above_is_in_order(tmp_path: Path) -> None:
    host = roce(tmp_path, "eth0", "eth1", mlx5_1__ports__1__gid_attrs__ndevs__1="eth1.100")

    assert verdict_of("ib.netdev_binding", host).status == Status.OK


def test_parts_of_a_bond_are_compared_with_policy_alone(tmp_path: Path) -> None:
    host = roce(tmp_path, "eth1", None, net__eth0__master__x="", net__eth0__mtu="9000")

    assert verdict_of("ib.netdev_binding", host).status == Status.OK
    assert verdict_of("ib.netdev_binding", host, expected={"mlx5_0/1": "eth0"}).status == Status.FAIL


@pytest.mark.parametrize(
    ("netdevs", "expected", "words"),
    [
        (("eth0", "eth1"), {"mlx5_1/1": "ens1"}, "mlx5_1/1 belongs to eth1, expected ens1"),
        ((None, None), {"mlx5_1/1": "ens1"}, "mlx5_1/1 belongs to eth1, expected ens1"),
    ],
)
def test_another_interface_than_claimed_is_named(
    tmp_path: Path, netdevs: tuple[str | None, ...], expected: dict[str, str], words: str
) -> None:
    verdict = verdict_of("ib.netdev_binding", roce(tmp_path, *netdevs), expected=expected)

    assert verdict.summary == words


def test_an_unanswered_netlink_is_unknown(tmp_path: Path) -> None:
    host = plant(tmp_path, ROCE, errors={"rdma_links": ("failed", "EPROTONOSUPPORT")})

    assert verdict_of("ib.netdev_binding", host).status == Status.UNKNOWN


def test_gids_have_type_and_interface_and_zeros_are_none(tmp_path: Path) -> None:
    gids = IbGids.read(roce(tmp_path, "eth0", "eth1")).known["mlx5_0/1"]

    assert gids == (
        Gid(0, "fe80:0000:0000:0000:ba3f:d2ff:fec2:5d30", "IB/RoCE v1", "eth0"),
        Gid(1, "0000:0000:0000:0000:0000:ffff:0a00:0000", "RoCE v2", "eth0"),
    )


def test_soft_roce_names_its_interface_as_parent(machine: Machine) -> None:
    files = {f"{IB}/rxe0/parent": "eth0", f"{NET}/eth0/mtu": "1500", f"{IB}/rxe0/node_type": "1: CA"}
    answer = {"rxe0": {"protocol": "roce", "ports": {"1": {"state": 4, "physical_state": 5, "netdev": "eth0"}}}}
    links = {f"{IB}/rxe0": "../../devices/virtual/infiniband/rxe0"}
    host = machine(files, links=links, calls={(rdma_links,): answer})

    assert verdict_of("ib.netdev_binding", host, expected={"rxe0/1": "eth0"}).status == Status.OK
    answer["rxe0"]["ports"]["1"]["netdev"] = "eth9"  # type: ignore[index]
    host = machine(files, links=links, calls={(rdma_links,): answer})
    assert verdict_of("ib.netdev_binding", host).status == Status.FAIL


def gpu_node(root: Path, *modules: str, release: str = "5.14.0-427.el9.x86_64", nvidia: str | None = "Open ") -> Host:
    files = {
        "/proc/sys/kernel/osrelease": f"{release}\n",
        "/proc/modules": "".join(f"{name} 16384 0 - Live 0x0\n" for name in modules),
    }
    if nvidia is not None:
        files["/proc/driver/nvidia/version"] = (
            f"NVRM version: NVIDIA UNIX {nvidia}Kernel Module  550.54.15\nGCC version:\n"
        )
    return plant(root, files)


OPEN = ("ib_uverbs", "nvidia")


@pytest.mark.parametrize("required", ["nvidia_peermem", "dma_buf", "either"])
def test_gpudirect_by_module_or_by_dma_buf(tmp_path: Path, required: str) -> None:
    both = gpu_node(tmp_path, *OPEN, "nvidia_peermem")
    assert verdict_of("ib.modules", both, required=required).status == Status.OK

    closed = gpu_node(tmp_path, *OPEN, "nvidia_peermem", nvidia="x86_64 ")
    assert verdict_of("ib.modules", closed, required=required).status == (
        Status.FAIL if required == "dma_buf" else Status.OK
    )
    no_module = gpu_node(tmp_path, *OPEN)
    assert verdict_of("ib.modules", no_module, required=required).status == (
        Status.FAIL if required == "nvidia_peermem" else Status.OK
    )


@pytest.mark.parametrize(
    ("modules", "release", "nvidia", "words"),
    [
        (OPEN, "4.18.0-553.el8.x86_64", "Open ", "kernel 4.18.0-553.el8.x86_64 is older than 5.12"),
        (OPEN, "6.8.0", "", "the NVIDIA driver is not the open one"),
        (("nvidia",), "6.8.0", "Open ", "module ib_uverbs is not loaded"),
        (("ib_uverbs",), "6.8.0", None, "no GPU driver is loaded that exports dma_buf"),
    ],
)
def test_why_there_is_no_gpudirect_is_said(
    tmp_path: Path, modules: tuple[str, ...], release: str, nvidia: str | None, words: str
) -> None:
    host = gpu_node(tmp_path, *modules, release=release, nvidia=nvidia)

    verdict = verdict_of("ib.modules", host, required="dma_buf")
    assert verdict.summary == f"no GPUDirect RDMA by dma_buf: {words}, expected dma_buf"
    assert verdict_of("ib.modules", host, required="either").summary.endswith("and nvidia_peermem is not loaded")


def test_amdgpu_exports_dma_buf_and_nothing_is_asked_without_policy(tmp_path: Path) -> None:
    host = gpu_node(tmp_path, "ib_uverbs", "amdgpu", nvidia=None)

    assert verdict_of("ib.modules", host, required="dma_buf").status == Status.OK
    assert verdict_of("ib.modules", host).status == Status.SKIP
    assert learnt("ib.modules", host) == {"required": "dma_buf"}
    assert learnt("ib.modules", gpu_node(tmp_path, "ib_uverbs", nvidia=None)) == {}


def test_a_kernel_without_a_version_is_unknown(tmp_path: Path) -> None:
    host = gpu_node(tmp_path, *OPEN, release="rolling")

    assert verdict_of("ib.modules", host, required="dma_buf").status == Status.UNKNOWN

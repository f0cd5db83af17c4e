"""A node with eight 400 Gb/s InfiniBand ports, as the kernel shows it, and what may be wrong with one.

Eight single-port adapters (mlx5, NDR, PCIe 5 x16), four at each socket, each below a PCIe switch with a GPU of its own.
File names and formats: kernel documentation, ABI/stable/sysfs-class-infiniband and ABI/testing/sysfs-bus-pci; counters:
drivers/infiniband/core/sysfs.c and drivers/infiniband/hw/mlx5/counters.c; devices and ports over netlink:
drivers/infiniband/core/nldev.c.
"""

from pathlib import Path
from typing import Any, NamedTuple

from nodeproof.daemon.counters import observed
from nodeproof.events.ledger import Ledger, to_json
from nodeproof.host import Host
from nodeproof.host.clock import wall_clock_s
from nodeproof.host.device_file import device_file
from nodeproof.host.rdma_netlink import rdma_links
from nodeproof.probes.ib_counters import IbCounters
from nodeproof.probes.ledger import BOOT_ID, LEDGER
from support import plant

IB = "/sys/class/infiniband"
PCI = "/sys/bus/pci/devices"

NOW = 1_800_000_000.0

#: Counters of a port with what a port says that has worked for a while.
COUNTERS = {
    "VL15_dropped": 0,
    "excessive_buffer_overrun_errors": 0,
    "link_downed": 1,
    "link_error_recovery": 0,
    "local_link_integrity_errors": 0,
    "multicast_rcv_packets": 1204,
    "multicast_xmit_packets": 19,
    "port_rcv_constraint_errors": 0,
    "port_rcv_data": 81_604_378_112,
    "port_rcv_errors": 0,
    "port_rcv_packets": 79_691_776,
    "port_rcv_remote_physical_errors": 0,
    "port_rcv_switch_relay_errors": 0,
    "port_xmit_constraint_errors": 0,
    "port_xmit_data": 81_604_391_936,
    "port_xmit_discards": 0,
    "port_xmit_packets": 79_691_790,
    "port_xmit_wait": 41_221,
    "symbol_error": 0,
    "unicast_rcv_packets": 79_690_572,
    "unicast_xmit_packets": 79_691_771,
}

#: What mlx5 counts of its transport; `lifespan` is for how long it may answer from its cache.
HW_COUNTERS = {
    "duplicate_request": 0,
    "implied_nak_seq_err": 0,
    "lifespan": 10,
    "local_ack_timeout_err": 0,
    "out_of_buffer": 0,
    "out_of_sequence": 0,
    "packet_seq_err": 0,
    "req_cqe_error": 0,
    "req_cqe_flush_error": 0,
    "req_remote_access_errors": 0,
    "req_remote_invalid_request": 0,
    "resp_cqe_error": 0,
    "resp_cqe_flush_error": 0,
    "resp_local_length_error": 0,
    "resp_remote_access_errors": 0,
    "rnr_nak_retry_err": 0,
    "rx_atomic_requests": 0,
    "rx_dct_connect": 0,
    "rx_read_requests": 512,
    "rx_write_requests": 9_961_472,
}

#: Half of the P_Key table of mlx5, the rest of which nobody reads; and its GID table.
_PKEYS, _GIDS = 64, 8


class Rail(NamedTuple):
    """One adapter with all that hangs on it. `base` is the first of the PCI buses below its root port."""

    number: int
    node: int
    base: int

    @property
    def name(self) -> str:
        return f"mlx5_{self.number}"

    @property
    def port(self) -> str:
        return f"{IB}/{self.name}/ports/1"

    @property
    def root(self) -> list[str]:
        """Root port, and the switch's upstream port."""
        return [f"0000:{self.base:02x}:01.0", f"0000:{self.base + 1:02x}:00.0"]

    @property
    def path(self) -> list[str]:
        return [*self.root, f"0000:{self.base + 2:02x}:00.0", f"0000:{self.base + 3:02x}:00.0"]

    @property
    def gpu_path(self) -> list[str]:
        return [*self.root, f"0000:{self.base + 2:02x}:01.0", f"0000:{self.base + 4:02x}:00.0"]

    @property
    def netdev(self) -> str:
        return f"ibp{self.base + 3}s0"

    @property
    def guid(self) -> str:
        return f"b83f:d203:00c2:{0x5D30 + self.number:04x}"

    @property
    def lid(self) -> int:
        return 0x40 + self.number


def rails(count: int = 8) -> list[Rail]:
    """Return the adapters: half of them at each NUMA node."""
    return [Rail(n, node=2 * n // count, base=0x10 * (n + 1) + 1) for n in range(count)]


class IbNode:
    """A node to be planted. Tests change `files`, `links`, `calls` and `errors` before they do."""

    def __init__(self, count: int = 8) -> None:
        self.rails = rails(count)
        self.files: dict[str, str] = {
            "/proc/sys/kernel/osrelease": "5.14.0-427.13.1.el9_4.x86_64\n",
            "/proc/modules": "".join(f"{name} 16384 0 - Live 0x0000000000000000\n" for name in _MODULES),
            "/proc/driver/nvidia/version": _NVIDIA,
            BOOT_ID: "5f1c9d1e-6a55-4a30-9a3d-1a2b3c4d5e6f\n",
        }
        self.links: dict[str, str] = {}
        self.errors: dict[str, tuple[str, str]] = {}
        self.calls: dict[tuple[Any, ...], Any] = {(wall_clock_s,): NOW}
        self.directories = tuple(f"/sys/module/{name}" for name in _MODULES)
        for rail in self.rails:
            self._add_pci(rail)
            self._add_adapter(rail)
            self._add_port(rail)
            self._add_tables(rail)
            self._add_device_files(rail)
        self.netlink = {rail.name: _told(rail) for rail in self.rails}
        self.calls[rdma_links,] = self.netlink
        self._add_device_file("rdma_cm", "0666")
        self.files["/sys/class/misc/rdma_cm/dev"] = "10:58\n"

    def plant(self, root: Path) -> Host:
        return plant(
            root,
            self.files,
            links=self.links,
            errors=self.errors,
            calls=self.calls,
            directories=self.directories,
        )

    def watch(self, root: Path, before: Host) -> Host:
        """Plant what an agent saw that read the counters of `before` 70 minutes ago, and reads this node's now."""
        host = self.plant(root)
        at_first = observed((), IbCounters.read(before).counters(), NOW - 4200)
        series = observed(at_first, IbCounters.read(host).counters(), NOW - 10)
        ledger = root / LEDGER.lstrip("/")
        ledger.parent.mkdir(parents=True)
        ledger.write_bytes(to_json(Ledger(self.files[BOOT_ID].strip(), NOW - 7200, NOW - 10, (), series)))
        return host

    def _add_pci(self, rail: Rail) -> None:
        self._add_device(rail.path[:1], "8086:352A", "60400", rail.node)
        self._add_device(rail.path[:2], "1000:C030", "60400", rail.node)
        self._add_device(rail.path[:3], "1000:C030", "60400", rail.node)
        self._add_device(rail.gpu_path[:3], "1000:C030", "60400", rail.node)
        self._add_device(rail.path, "15B3:1021", "20700", rail.node)
        self._add_device(rail.gpu_path, "10DE:2330", "30200", rail.node)

    def _add_device(self, path: list[str], pci_id: str, pci_class: str, node: int) -> None:
        directory = f"{PCI}/{path[-1]}"
        self.links[directory] = f"../../../devices/pci0000:{path[0][5:7]}/{'/'.join(path)}"
        self.files |= {
            f"{directory}/uevent": f"PCI_CLASS={pci_class}\nPCI_ID={pci_id}\nPCI_SLOT_NAME={path[-1]}\n",
            f"{directory}/class": f"0x{pci_class:0>6}\n",
            f"{directory}/numa_node": f"{node}\n",
            f"{directory}/power_state": "D0\n",
        }
        if pci_class == "60400":
            self.files[f"{directory}/pci_bus/power/control"] = "auto\n"
        for which in ("current", "max"):
            self.files[f"{directory}/{which}_link_speed"] = "32.0 GT/s PCIe\n"
            self.files[f"{directory}/{which}_link_width"] = "16\n"

    def _add_adapter(self, rail: Rail) -> None:
        directory = f"{IB}/{rail.name}"
        self.links[directory] = f"../../devices/pci0000:{rail.base:02x}/{'/'.join(rail.path)}/infiniband/{rail.name}"
        self.files |= {
            f"{directory}/fw_ver": "28.39.1002\n",
            f"{directory}/board_id": "MT_0000000838\n",
            f"{directory}/hca_type": "MT4129\n",
            f"{directory}/node_type": "1: CA\n",
            f"{directory}/node_guid": f"{rail.guid}\n",
            f"{directory}/sys_image_guid": f"{rail.guid}\n",
            f"{directory}/device/numa_node": f"{rail.node}\n",
            f"{directory}/device/net/{rail.netdev}/mtu": "4092\n",
            f"{directory}/device/net/{rail.netdev}/dev_port": "0\n",
        }

    def _add_port(self, rail: Rail) -> None:
        self.files |= {
            f"{rail.port}/state": "4: ACTIVE\n",
            f"{rail.port}/phys_state": "5: LinkUp\n",
            f"{rail.port}/rate": "400 Gb/sec (4X NDR)\n",
            f"{rail.port}/link_layer": "InfiniBand\n",
            f"{rail.port}/lid": f"{rail.lid:#x}\n",
            f"{rail.port}/sm_lid": "0x1\n",
            f"{rail.port}/sm_sl": "0\n",
            f"{rail.port}/lid_mask_count": "0\n",
            f"{rail.port}/cap_mask": "0xa751e848\n",
        }
        self.files |= {f"{rail.port}/counters/{name}": f"{value}\n" for name, value in COUNTERS.items()}
        self.files |= {f"{rail.port}/hw_counters/{name}": f"{value}\n" for name, value in HW_COUNTERS.items()}

    def _add_tables(self, rail: Rail) -> None:
        keys = {0: "0x7fff", 1: "0x8001"}
        self.files |= {f"{rail.port}/pkeys/{i}": f"{keys.get(i, '0x0000')}\n" for i in range(_PKEYS)}
        gids = {0: f"fe80:0000:0000:0000:{rail.guid}"}
        for i in range(_GIDS):
            self.files[f"{rail.port}/gids/{i}"] = f"{gids.get(i, ':'.join(['0000'] * 8))}\n"
        self.files[f"{rail.port}/gid_attrs/types/0"] = "IB/RoCE v1\n"
        self.files[f"{rail.port}/gid_attrs/ndevs/0"] = ""
        self.errors[f"{rail.port}/gid_attrs/ndevs/0"] = ("failed", "EINVAL")

    def _add_device_files(self, rail: Rail) -> None:
        verbs, mad = f"uverbs{rail.number}", f"umad{rail.number}"
        self.files[f"/sys/class/infiniband_verbs/{verbs}/ibdev"] = f"{rail.name}\n"
        self._add_device_file(verbs, "0666")
        for name in (mad, f"issm{rail.number}"):
            self.files[f"/sys/class/infiniband_mad/{name}/ibdev"] = f"{rail.name}\n"
            self.files[f"/sys/class/infiniband_mad/{name}/port"] = "1\n"
            self._add_device_file(name, "0600")

    def _add_device_file(self, name: str, mode: str) -> None:
        answer = {"is_character_device": True, "mode": mode, "uid": 0, "gid": 0, "device": "231:192"}
        self.calls[device_file, f"/dev/infiniband/{name}"] = answer


_MODULES = ("ib_core", "ib_umad", "ib_uverbs", "mlx5_core", "mlx5_ib", "nvidia", "nvidia_peermem", "rdma_ucm")

_NVIDIA = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)\n"


def _told(rail: Rail) -> dict[str, Any]:
    """Return what netlink says of an adapter."""
    port = {
        "capability_mask": 0xA751E848,
        "lid": rail.lid,
        "sm_lid": 1,
        "lid_mask_count": 0,
        "state": 4,
        "physical_state": 5,
        "subnet_prefix": "fe80:0000:0000:0000",
    }
    device = {"node_type": 1, "node_guid": rail.guid, "sys_image_guid": rail.guid}
    return {**device, "firmware": "28.39.1002", "protocol": "ib", "ports": {"1": port}}

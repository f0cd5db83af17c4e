"""A node with GPUs for tests: what sysfs and procfs show beside the fakes of NVML and AMD SMI."""

PCI = "/sys/bus/pci/devices"
RDMA = "/sys/class/infiniband"


def address(index: int) -> str:
    return f"0000:{0x1B + index:02x}:00.0"


def pci_files(gpus: int) -> dict[str, str | bytes]:
    """GPUs, and what of NVIDIA's is none: an NVSwitch and an audio function."""
    classes = {address(i): "0x030200" for i in range(gpus)} | {"0000:05:00.0": "0x068000", "0000:1b:00.1": "0x040300"}
    files: dict[str, str | bytes] = {}
    for device, class_ in classes.items():
        files |= {f"{PCI}/{device}/vendor": "0x10de\n", f"{PCI}/{device}/class": f"{class_}\n"}
    return files | {f"{PCI}/0000:00:00.0/vendor": "0x8086\n", f"{PCI}/0000:00:00.0/class": "0x060000\n"}


def node_files(gpus: int = 8) -> dict[str, str | bytes]:
    """The same with what a healthy node has besides: half of the GPUs at each NUMA node, adapters, Fabric Manager."""
    files = pci_files(gpus)
    for i in range(gpus):
        files |= {f"{PCI}/{address(i)}/numa_node": f"{i * 2 // gpus}\n", f"{PCI}/{address(i)}/config": b"\xde\x10" * 32}
        files |= {f"{RDMA}/mlx5_{i}/fw_ver": "28.43.1014\n"}
    return files | {"/proc/4711/comm": "python\n", "/proc/1200/comm": "nv-fabricmanage\n"}


def node_links(gpus: int = 8) -> dict[str, str]:
    """Where links of devices lead: each GPU behind a bridge with one adapter."""
    links = {}
    for i in range(gpus):
        bridge = f"../../../devices/pci0000:{0x10 + i:02x}/0000:{0x10 + i:02x}:01.0"
        links[f"{PCI}/{address(i)}"] = f"{bridge}/{address(i)}"
        links[f"{RDMA}/mlx5_{i}"] = f"{bridge}/0000:{0x80 + i:02x}:00.0/infiniband/mlx5_{i}"
    return links


#: By the words of the fake library: what a healthy node of each generation has.
GENERATIONS = {
    "V100": {"links": 6, "mb_per_s": 25781, "sm_mhz": 1530, "vbios": "88.00.98.00.02", "inforom": "G503.0201.00.03"},
    "A100": {"links": 12, "mb_per_s": 25000, "sm_mhz": 1410, "vbios": "92.00.45.00.05", "inforom": "G506.0210.00.04"},
    "H100": {"links": 18, "mb_per_s": 26562, "sm_mhz": 1980, "vbios": "96.00.99.00.01", "inforom": "G520.0200.00.05"},
    "B200": {"links": 18, "mb_per_s": 53125, "sm_mhz": 1965, "vbios": "97.00.88.00.07", "inforom": "G548.0301.00.02"},
}


def policy(generation: str, gpus: int = 8) -> dict[str, dict[str, object]]:
    """Return what a class of such nodes claims: a value for each parameter that describes it."""
    kind = GENERATIONS[generation]
    places = {address(i): f"node {i * 2 // gpus} 0000:{0x80 + i:02x}:00.0" for i in range(gpus)}
    return {
        "gpu.count": {"claimed": gpus},
        "gpu.lost": {},
        "gpu.driver": {"allowed": ["570.*"]},
        "gpu.pcie_width": {"min_width": 16},
        "gpu.vbios": {"allowed": [kind["vbios"], "96.00.11.*"]},
        "gpu.inforom": {"allowed": [kind["inforom"]]},
        "gpu.ecc_mode": {"required": "on"},
        "gpu.ecc_uncorrected": {},
        "gpu.ecc_corrected_rate": {},
        "gpu.remapped_rows": {},
        "gpu.retired_pages": {},
        "gpu.recovery_action": {},
        "gpu.nvlink": {"min_active_count": kind["links"], "min_speed_mb_per_s": kind["mb_per_s"]},
        "gpu.nvlink_error_rate": {},
        "gpu.fabric": {},
        "gpu.fabric_manager": {},
        "gpu.throttle": {},
        "gpu.throttle_share": {},
        "gpu.temperature": {},
        "gpu.power_limit": {},
        "gpu.clocks": {"min_sm_mhz": kind["sm_mhz"]},
        "gpu.persistence": {},
        "gpu.mig_mode": {"required": "off"},
        "gpu.processes": {},
        "gpu.pcie_replay_rate": {},
        "gpu.topology": {"expected": places},
        "gpu.peer_access": {"min_pair_count": gpus * (gpus - 1) // 2},
    }


def amd_files(gpus: int = 8) -> dict[str, str | bytes]:
    """Return what sysfs shows of a node with MI300X, half of them at each NUMA node."""
    files: dict[str, str | bytes] = {
        f"{PCI}/0000:00:00.0/vendor": "0x1022\n",
        f"{PCI}/0000:00:00.0/class": "0x060000\n",
    }
    for i in range(gpus):
        device = f"{PCI}/{address(i)}"
        files |= {f"{device}/vendor": "0x1002\n", f"{device}/class": "0x120000\n", f"{device}/config": b"\x02\x10" * 32}
        files |= {f"{device}/numa_node": f"{i * 2 // gpus}\n", f"{device}/vbios_version": "113-M3000100-103\n"}
        files |= {f"{device}/hwmon/hwmon{i}/power1_input": "142000000\n"}
    return files


def amd_links(gpus: int = 8) -> dict[str, str]:
    return {f"{PCI}/{address(i)}/driver": "../../../bus/pci/drivers/amdgpu" for i in range(gpus)} | {
        f"{PCI}/{address(i)}": f"../../../devices/pci0000:{0x10 + i:02x}/{address(i)}" for i in range(gpus)
    }


def amd_policy(claimed: int | None = 8) -> dict[str, dict[str, object]]:
    """Return what a class of nodes with MI300X claims, for all checks: those of what AMD does not have are skipped."""
    checks = policy("H100") | {
        "gpu.driver": {"allowed": ["6.12.*"]},
        "gpu.vbios": {"allowed": ["113-M3000100-103"]},
        "gpu.inforom": {},
        "gpu.nvlink": {"min_active_count": 7},
        "gpu.clocks": {},
        "gpu.topology": {"expected": {address(i): f"node {i * 2 // 8}" for i in range(8)}},
    }
    return checks | {"gpu.count": {} if claimed is None else {"claimed": claimed}}

"""What facts count: names, parts, widths, and that no fact with counters is forgotten."""

import inspect
import re

import pytest

from nodeproof.daemon.counters import fact_types, observed
from nodeproof.errors import FactError
from nodeproof.host.nvme import nvme_smart_log
from nodeproof.host.nvml import nvml_device, nvml_devices
from nodeproof.probes import FACTS
from nodeproof.probes.counter import Counts
from nodeproof.probes.edac import MemoryErrors
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.ib_counters import IbCounters
from nodeproof.probes.ledger import Seen
from nodeproof.probes.nic import COUNTERS, Interfaces
from nodeproof.probes.nvme import NvmeHealth
from nodeproof.probes.pci import PciErrors
from nodeproof.probes.throttle import CpuThrottles
from support import Machine

#: Parts as `nodeproof.events.event` names them.
PART = re.compile(r"(pci:[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|(nic|nvme|ib|cpu):\S+|dimm:.+)")


def counted(fact: Counts) -> dict[tuple[str, str], int]:
    """Return what a fact counts, after seeing that it names all in the one way."""
    found = list(fact.counters())
    assert all(PART.fullmatch(c.part) and c.name.count(".") == 1 for c in found), found
    assert len({(c.name, c.part) for c in found}) == len(found)
    return {(c.name, c.part): c.value for c in found}


def test_every_fact_with_counters_is_read() -> None:
    expected = {MemoryErrors, Gpus, IbCounters, Interfaces, NvmeHealth, PciErrors, CpuThrottles}

    assert expected <= set(fact_types())
    assert all(callable(getattr(fact, "counters")) for fact in fact_types())  # noqa: B009  # no field of that name
    assert all(list(inspect.signature(getattr(fact, "counters")).parameters) == ["self"] for fact in fact_types())  # noqa: B009


def test_what_looks_up_counters_of_the_ledger_is_no_fact_with_counters() -> None:
    assert Seen in FACTS
    assert Seen not in fact_types()


def test_pcie_errors_count_by_severity(machine: Machine) -> None:
    device, port = "/sys/bus/pci/devices/0000:3b:00.0", "/sys/bus/pci/devices/0000:3a:00.0"
    files = {"fatal": "TOTAL_ERR_FATAL 1\n", "nonfatal": "TOTAL_ERR_NONFATAL 2\n", "correctable": "TOTAL_ERR_COR 3\n"}
    planted = {f"{where}/aer_dev_{name}": text for where in (device, port) for name, text in files.items()}
    host = machine(planted | {f"{port}/aer_rootport_total_err_fatal": "4\n"})

    assert counted(PciErrors.read(host)) == {
        ("pci.aer_fatal", "pci:0000:3b:00.0"): 1,
        ("pci.aer_nonfatal", "pci:0000:3b:00.0"): 2,
        ("pci.aer_correctable", "pci:0000:3b:00.0"): 3,
        ("pci.aer_fatal", "pci:0000:3a:00.0"): 1,
        ("pci.aer_nonfatal", "pci:0000:3a:00.0"): 2,
        ("pci.aer_correctable", "pci:0000:3a:00.0"): 3,
        ("pci.aer_received_fatal", "pci:0000:3a:00.0"): 4,
    }


def test_dimms_are_named_as_the_kernel_log_names_them_where_that_is_clear(machine: Machine) -> None:
    controller = "/sys/devices/system/edac/mc/mc0"
    files = {f"{controller}/ce_count": "9\n", f"{controller}/ue_count": "0\n"}
    for i, label in enumerate(("CPU0_DIMM_A1", "same", "same", "")):
        directory = f"{controller}/dimm{i}"
        files |= {f"{directory}/dimm_label": f"{label}\n", f"{directory}/dimm_ue_count": "0\n"}
        files |= {f"{directory}/dimm_ce_count": f"{i}\n"}

    counts = counted(MemoryErrors.read(machine(files)))
    assert {part: n for (name, part), n in counts.items() if name == "memory.corrected"} == {
        "dimm:CPU0_DIMM_A1": 0,
        "dimm:same (mc0 dimm1)": 1,
        "dimm:same (mc0 dimm2)": 2,
        "dimm:mc0 dimm3": 3,
        "dimm:mc0 (no DIMM named)": 3,
    }
    assert ("memory.uncorrected", "dimm:CPU0_DIMM_A1") in counts


def test_what_no_dimm_is_blamed_for_has_a_baseline_of_zero(machine: Machine) -> None:
    controller = "/sys/devices/system/edac/mc/mc0"
    host = machine({f"{controller}/ce_count": "0\n", f"{controller}/ue_count": "0\n"})

    assert counted(MemoryErrors.read(host))["memory.uncorrected", "dimm:mc0 (no DIMM named)"] == 0


def test_ports_count_errors_and_carrier_changes_but_no_traffic(machine: Machine) -> None:
    def port(name: str, *, has_device: bool) -> dict[str, str]:
        files = {"type": "1", "operstate": "up", "carrier": "1", "speed": "25000", "duplex": "full", "mtu": "1500"}
        files |= {"carrier_changes": "4"} | {f"statistics/{c}": "6" for c in COUNTERS}
        files |= {"device/uevent": "PCI_ID=15B3:101D\nPCI_SUBSYS_ID=15B3:0040"} if has_device else {}
        return {f"/sys/class/net/{name}/{file}": f"{text}\n" for file, text in files.items()}

    counts = counted(Interfaces.read(machine(port("eth0", has_device=True) | port("bond0", has_device=False))))
    assert counts == {
        ("nic.carrier_changes", "nic:eth0"): 4,
        ("nic.rx_errors", "nic:eth0"): 6,
        ("nic.rx_crc_errors", "nic:eth0"): 6,
        ("nic.rx_missed_errors", "nic:eth0"): 6,
        ("nic.tx_errors", "nic:eth0"): 6,
        ("nic.tx_carrier_errors", "nic:eth0"): 6,
    }


SMART = {
    "critical_warning": 0,
    "temperature_kelvin": 313,
    "available_spare_percent": 100,
    "spare_threshold_percent": 10,
    "used_percent": 3,
    "media_errors": 2,
}


@pytest.mark.parametrize("log", [SMART, SMART | {"unsafe_shutdowns": 7}], ids=["an earlier recording", "now"])
def test_drives_count_media_errors_and_unsafe_shutdowns(machine: Machine, log: dict[str, int]) -> None:
    words = {"model": "m", "serial": "s", "firmware_rev": "f", "state": "live", "transport": "pcie", "address": "a"}
    files = {f"/sys/class/nvme/nvme0/{name}": f"{text}\n" for name, text in words.items()}
    host = machine(files, calls={(nvme_smart_log, "/dev/nvme0"): log})

    expected = {("nvme.media_errors", "nvme:nvme0"): 2}
    if "unsafe_shutdowns" in log:
        expected["nvme.unsafe_shutdowns", "nvme:nvme0"] = 7
    assert counted(NvmeHealth.read(host)) == expected


def test_gpus_count_remapped_rows_by_pci_address(machine: Machine) -> None:
    device = "/sys/bus/pci/devices/0000:3b:00.0"
    rows = {"correctable": 1, "uncorrectable": 2, "is_pending": False, "has_failed": False}
    calls = {
        (nvml_devices,): {
            "init_error": None,
            "device_count": 1,
            "driver_version": "570.86.15",
            "cuda_driver_version": 12080,
        },
        (nvml_device, 0): {"error": None, "pci_bus_id": "00000000:3B:00.0", "remapped_rows": rows, "errors": {}},
    }
    host = machine({f"{device}/vendor": "0x10de\n", f"{device}/class": "0x030200\n"}, calls=calls)

    assert counted(Gpus.read(host)) == {
        ("gpu.remapped_correctable", "pci:0000:3b:00.0"): 1,
        ("gpu.remapped_uncorrectable", "pci:0000:3b:00.0"): 2,
    }


def test_infiniband_counters_say_how_wide_they_are(machine: Machine) -> None:
    ports = "/sys/class/infiniband/mlx5_0/ports"
    host = machine(
        {
            f"{ports}/1/counters/symbol_error": "65535\n",
            f"{ports}/1/counters/link_downed": "1\n",
            f"{ports}/2/counters/symbol_error": "N/A (no PMA)\n",
            "/sys/class/infiniband/mlx5_9/ports/1/counters/symbol_error": "1\n",
            "/sys/class/infiniband/mlx5_9/device/physfn/vendor": "0x15b3\n",
        }
    )

    fact = IbCounters.read(host)
    assert counted(fact) == {("ib.symbol_error", "ib:mlx5_0/1"): 65535, ("ib.link_downed", "ib:mlx5_0/1"): 1}
    series = {s.name: s for s in observed((), fact.counters(), 1000.0)}
    assert (series["ib.symbol_error"].is_saturated, series["ib.link_downed"].is_saturated) == (True, False)


@pytest.mark.parametrize(
    "names", [("core_cpus_list", "package_cpus_list"), ("thread_siblings_list", "core_siblings_list")]
)
def test_cores_and_packages_count_once(machine: Machine, names: tuple[str, str]) -> None:
    cpus = "/sys/devices/system/cpu"
    files = {}
    for cpu, (core, package) in enumerate([(1, 5), (2, 6), (3, 0), (4, 0)]):
        files[f"{cpus}/cpu{cpu}/thermal_throttle/core_throttle_count"] = f"{core}\n"
        files[f"{cpus}/cpu{cpu}/thermal_throttle/package_throttle_count"] = f"{package}\n"
        files[f"{cpus}/cpu{cpu}/topology/{names[0]}"] = f"{cpu % 2},{cpu % 2 + 2}\n"
        files[f"{cpus}/cpu{cpu}/topology/{names[1]}"] = "0-1\n" if cpu < 2 else "2-3\n"

    fact = CpuThrottles.read(machine(files))
    assert (fact.cores, fact.packages) == ({0: 3, 1: 4}, {0: 6, 2: 0})
    assert counted(fact)["cpu.package_throttles", "cpu:0"] == 6


def test_a_cpu_that_counts_no_thermal_events_has_none(machine: Machine) -> None:
    with pytest.raises(FactError, match="no CPU counts thermal events"):
        CpuThrottles.read(machine({"/sys/devices/system/cpu/cpu0/topology/core_cpus_list": "0\n"}))

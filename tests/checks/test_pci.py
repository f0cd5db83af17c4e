"""PCI checks: links, error counters and claimed devices."""

import pytest

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.probes.pci import PciDevices, PciLinks
from nodeproof.verdict import Status
from support import Machine, verdict_of

PCI = "/sys/bus/pci/devices"
GPU, NIC, VF = "0000:41:00.0", "0000:81:00.0", "0000:81:00.1"
GPU_PORT, NIC_PORT = "0000:40:01.0", "0000:80:01.0"

CORRECTABLE = "RxErr 0\nBadTLP 0\nBadDLLP 0\nRollover 0\nTimeout 0\nNonFatalErr 0\nTOTAL_ERR_COR 0\n"
FATAL = "Undefined 0\nDLP 0\nSDES 0\nTLP 0\nTOTAL_ERR_FATAL 0\n"


def device(
    address: str,
    pci_id: str,
    pci_class: str,
    *,
    now: tuple[str, str] | None = None,
    best: tuple[str, str] = ("16.0 GT/s PCIe", "16"),
) -> dict[str, str]:
    d = f"{PCI}/{address}"
    files = {f"{d}/uevent": f"DRIVER=x\nPCI_CLASS={pci_class}\nPCI_ID={pci_id}\nPCI_SLOT_NAME={address}\n"}
    if now is not None:
        files |= {f"{d}/current_link_speed": now[0], f"{d}/current_link_width": now[1]}
        files |= {f"{d}/max_link_speed": best[0], f"{d}/max_link_width": best[1]}
    return files


LINKS = {
    f"{PCI}/{GPU_PORT}": f"../../../devices/pci0000:40/{GPU_PORT}",
    f"{PCI}/{GPU}": f"../../../devices/pci0000:40/{GPU_PORT}/{GPU}",
    f"{PCI}/{NIC_PORT}": f"../../../devices/pci0000:80/{NIC_PORT}",
    f"{PCI}/{NIC}": f"../../../devices/pci0000:80/{NIC_PORT}/{NIC}",
}

#: An idle GPU below its port, and a network card in a slot with half its lanes.
NODE = (
    device(GPU_PORT, "8086:352A", "60400", now=("2.5 GT/s PCIe", "16"))
    | device(GPU, "10DE:2330", "30200", now=("2.5 GT/s PCIe", "16"), best=("32.0 GT/s PCIe", "16"))
    | device(NIC_PORT, "8086:352A", "60400", now=("16.0 GT/s PCIe", "8"), best=("16.0 GT/s PCIe", "8"))
    | device(NIC, "15B3:101D", "20000", now=("16.0 GT/s PCIe", "8"))
    | device("0000:00:1f.0", "8086:1B81", "60100")
)


def test_healthy_links_pass_and_an_idle_gpu_may_slow_down(machine: Machine) -> None:
    host = machine(NODE, links=LINKS)

    assert verdict_of("pci.link", host).summary == "2 PCIe links at the speed and width that both ends can do"
    verdict = verdict_of("pci.link", host, is_gpu_speed_judged=True)
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"gpu {GPU} runs at 2.5 GT/s, expected 16 GT/s below port {GPU_PORT}"


def test_a_gpu_that_lost_half_its_lanes_fails_even_when_idle(machine: Machine) -> None:
    host = machine(NODE | {f"{PCI}/{GPU}/current_link_width": "8\n"}, links=LINKS)

    verdict = verdict_of("pci.link", host)
    assert verdict.summary == f"gpu {GPU} runs at x8, expected x16 below port {GPU_PORT}"
    assert verdict.evidence == {"devices": [GPU]}
    assert verdict_of("pci.link", host, classes=("nic",)).status == Status.OK
    assert verdict_of("pci.link", host, excepted=("10de:2330",)).status == Status.OK
    assert verdict_of("pci.link", host, excepted=(GPU,)).status == Status.OK


def test_a_nic_one_generation_below_its_slot_fails(machine: Machine) -> None:
    host = machine(NODE | {f"{PCI}/{NIC}/current_link_speed": "8.0 GT/s PCIe\n"}, links=LINKS)

    assert "runs at 8 GT/s, expected 16 GT/s" in verdict_of("pci.link", host).summary


@pytest.mark.parametrize(("speed", "width"), [("Unknown", "0"), ("Unknown speed", "255"), ("Unknown", "16")])
def test_what_a_virtual_device_does_not_know_is_not_judged(machine: Machine, speed: str, width: str) -> None:
    now = {f"{PCI}/{NIC}/current_link_speed": speed, f"{PCI}/{NIC}/current_link_width": width}

    assert verdict_of("pci.link", machine(NODE | now, links=LINKS)).status == Status.OK


def test_a_device_that_reads_as_ones_fails_unless_it_sleeps(machine: Machine) -> None:
    gone = {f"{PCI}/{GPU}/current_link_speed": "Unknown", f"{PCI}/{GPU}/current_link_width": "63"}

    verdict = verdict_of("pci.link", machine(NODE | gone | {f"{PCI}/{GPU}/power_state": "D0"}, links=LINKS))
    assert verdict.summary == f"gpu {GPU} does not answer (its registers read as ones)"
    asleep = machine(NODE | gone | {f"{PCI}/{GPU}/power_state": "D3cold"}, links=LINKS)
    assert verdict_of("pci.link", asleep).status == Status.OK


def below_switch(machine: Machine, *, width: str = "16", speed: str = "32.0 GT/s PCIe") -> Host:
    """A GPU below a switch; `width` and `speed` are those of the link above the switch."""
    port, up, down, gpu = "0000:40:01.0", "0000:41:00.0", "0000:42:00.0", "0000:43:00.0"
    chain, full = f"../../../devices/pci0000:40/{port}/{up}/{down}/{gpu}", ("32.0 GT/s PCIe", "16")
    return machine(
        device(port, "8086:352A", "60400", now=(speed, width), best=full)
        | device(up, "1000:C030", "60400", now=(speed, width), best=full)
        | device(down, "1000:C030", "60400", now=full, best=full)
        | device(gpu, "10DE:2330", "30200", now=full, best=full),
        links={f"{PCI}/{a}": chain.partition(a)[0] + a for a in (port, up, down, gpu)},
    )


def test_a_switch_is_judged_by_the_width_of_its_uplink(machine: Machine) -> None:
    assert verdict_of("pci.link", below_switch(machine)).summary.startswith("2 PCIe links")
    verdict = verdict_of("pci.link", below_switch(machine, width="4"))
    assert verdict.status == Status.FAIL
    assert verdict.summary == "switch 0000:41:00.0 runs at x4, expected x16 below port 0000:40:01.0"


def test_the_speed_of_a_switch_is_the_sites_matter(machine: Machine) -> None:
    host = below_switch(machine, speed="2.5 GT/s PCIe")

    assert verdict_of("pci.link", host).status == Status.OK
    assert "runs at 2.5 GT/s" in verdict_of("pci.link", host, is_switch_speed_judged=True).summary


VMD, VMD_PORT, VMD_DRIVE = "0000:16:00.5", "10000:00:02.0", "10000:01:00.0"
VMD_CHAIN = f"../../../devices/pci0000:16/{VMD}/pci10000:00/{VMD_PORT}/{VMD_DRIVE}"
VMD_LINKS = LINKS | {f"{PCI}/{a}": VMD_CHAIN.partition(a)[0] + a for a in (VMD, VMD_PORT, VMD_DRIVE)}


@pytest.mark.parametrize(("lanes", "status"), [("4", Status.OK), ("1", Status.FAIL)])
def test_a_drive_behind_a_volume_management_device_is_judged(machine: Machine, lanes: str, status: Status) -> None:
    files = (
        NODE
        | device(VMD, "8086:28C0", "10400")
        | device(VMD_PORT, "8086:352A", "60400", now=("16.0 GT/s PCIe", lanes), best=("16.0 GT/s PCIe", "4"))
        | device(VMD_DRIVE, "144D:A80A", "10802", now=("16.0 GT/s PCIe", lanes), best=("16.0 GT/s PCIe", "4"))
    )
    host = machine(files, links=VMD_LINKS)

    assert PciLinks.read(host).known[VMD_DRIVE].port == VMD_PORT
    verdict = verdict_of("pci.link", host)
    assert verdict.status == status
    if status == Status.FAIL:
        assert verdict.summary == f"nvme {VMD_DRIVE} runs at x1, expected x4 below port {VMD_PORT}"


def test_a_parent_that_is_no_pcie_port_leaves_only_its_child_unjudged(machine: Machine) -> None:
    files = {path: text for path, text in NODE.items() if not path.startswith(f"{PCI}/{NIC_PORT}/max_")}
    narrow = {f"{PCI}/{GPU}/current_link_width": "8\n"}

    assert verdict_of("pci.link", machine(files, links=LINKS)).status == Status.OK
    assert "runs at x8, expected x16" in verdict_of("pci.link", machine(files | narrow, links=LINKS)).summary


def test_a_device_that_went_away_meanwhile_is_no_finding(machine: Machine) -> None:
    gone = {f"{PCI}/{NIC}/current_link_width": ("absent", "ENODEV")}

    assert verdict_of("pci.link", machine(NODE, links=LINKS, errors=gone)).status == Status.OK


@pytest.mark.parametrize("text", ["fast", "nan GT/s PCIe", "16.0 MB/s", ""])
def test_a_garbled_speed_is_unknown(machine: Machine, text: str) -> None:
    host = machine(NODE | {f"{PCI}/{NIC}/max_link_speed": text}, links=LINKS)

    verdict = verdict_of("pci.link", host)
    assert verdict.status == Status.UNKNOWN
    assert "expected a speed in GT/s" in verdict.summary


def test_a_fault_is_found_although_another_link_is_unread(machine: Machine) -> None:
    narrow = {f"{PCI}/{GPU}/current_link_width": "4"}
    error = {f"{PCI}/{NIC}/current_link_width": ("failed", "EINVAL")}

    assert verdict_of("pci.link", machine(NODE | narrow, links=LINKS, errors=error)).status == Status.FAIL


def test_a_disconnected_device_is_unknown(machine: Machine) -> None:
    error = {f"{PCI}/{NIC}/current_link_width": ("failed", "EINVAL")}

    assert verdict_of("pci.link", machine(NODE, links=LINKS, errors=error)).status == Status.UNKNOWN


def test_no_pci_express_is_a_skip(machine: Machine) -> None:
    host = machine(device("0000:00:03.0", "1AF4:1041", "20000"))

    assert verdict_of("pci.link", host).status == Status.SKIP
    assert verdict_of("pci.aer", host).status == Status.SKIP


def aer(machine: Machine, **files: str) -> Host:
    counters = {"correctable": CORRECTABLE, "nonfatal": FATAL.replace("FATAL", "NONFATAL"), "fatal": FATAL} | files
    return machine({f"{PCI}/{NIC}/aer_dev_{name}": text for name, text in counters.items()})


def test_no_pcie_errors_pass(machine: Machine) -> None:
    assert verdict_of("pci.aer", aer(machine)).status == Status.OK


def test_one_fatal_error_fails_and_is_named(machine: Machine) -> None:
    host = aer(machine, fatal=FATAL.replace("DLP 0", "DLP 1").replace("FATAL 0", "FATAL 1"))

    verdict = verdict_of("pci.aer", host)
    assert verdict.status == Status.FAIL
    assert verdict.summary == f"{NIC} reported 1 fatal PCIe error, limit 0 (fatal DLP)"
    counts = {"fatal": 1, "nonfatal": 0, "correctable": 0, "received_fatal": 0, "by_name": {"fatal DLP": 1}}
    assert verdict.evidence == {"error_count": {NIC: counts}}
    assert verdict_of("pci.aer", host, max_fatal_count=1).status == Status.OK


def test_a_fatal_error_shows_at_the_port_when_its_sender_is_gone(machine: Machine) -> None:
    counters = {"correctable": CORRECTABLE, "nonfatal": "TOTAL_ERR_NONFATAL 0", "fatal": FATAL}
    files = {f"{PCI}/{NIC_PORT}/aer_dev_{name}": text for name, text in counters.items()}
    total = f"{PCI}/{NIC_PORT}/aer_rootport_total_err_fatal"

    assert verdict_of("pci.aer", machine(files | {total: "0\n"})).status == Status.OK
    assert verdict_of("pci.aer", machine(files | {total: "1\n"}), max_fatal_count=1).status == Status.OK
    verdict = verdict_of("pci.aer", machine(files | {total: "1\n"}))
    assert verdict.summary == f"{NIC_PORT} received 1 fatal PCIe error from below, limit 0"


def test_other_errors_fail_above_their_limits(machine: Machine) -> None:
    corrected = CORRECTABLE.replace("BadTLP 0", "BadTLP 51").replace("COR 0", "COR 51")
    nonfatal = "Completer Abort 7\nTOTAL_ERR_NONFATAL 7\n"
    host = aer(machine, correctable=corrected, nonfatal=nonfatal)

    assert verdict_of("pci.aer", host).status == Status.OK
    assert "51 corrected PCIe errors, limit 50" in verdict_of("pci.aer", host, max_correctable_count=50).summary
    verdict = verdict_of("pci.aer", host, max_nonfatal_count=6, max_correctable_count=50)
    assert "7 non-fatal PCIe errors, limit 6 (correctable BadTLP, nonfatal Completer Abort)" in verdict.summary


@pytest.mark.parametrize("text", ["", "DLP 0\n", "DLP many\nTOTAL_ERR_FATAL 0\n"])
def test_garbled_error_counters_are_unknown(machine: Machine, text: str) -> None:
    assert verdict_of("pci.aer", aer(machine, fatal=text)).status == Status.UNKNOWN


def learnt(host: Host) -> dict[str, int]:
    learn = registry()["pci.devices"].learn
    assert learn is not None
    claimed = learn(PciDevices.read(host))["claimed"]
    assert isinstance(claimed, dict)
    return claimed


def test_claimed_devices_are_counted_by_id_and_kind(machine: Machine) -> None:
    host = machine(NODE)

    assert verdict_of("pci.devices", host).status == Status.SKIP
    assert verdict_of("pci.devices", host, claimed={"gpu": 1, "15B3:101D": 1}).status == Status.OK
    verdict = verdict_of("pci.devices", host, claimed={"10de:2330": 8, "ib": 1, "nic": 1})
    assert verdict.status == Status.FAIL
    assert verdict.summary == "PCI devices are missing: found 1 of 8 10de:2330, 0 of 1 ib"
    assert verdict.evidence["found_count"] == {"10de:2330": 1, "ib": 0}


def test_a_virtual_function_is_no_device_of_its_own(machine: Machine) -> None:
    host = machine(NODE | device(VF, "15B3:101D", "20000"), directories=(f"{PCI}/{VF}/physfn",))

    assert verdict_of("pci.devices", host, claimed={"nic": 2}).status == Status.FAIL
    assert learnt(host) == {"10de:2330": 1, "15b3:101d": 1}


def test_drives_are_learnt_by_kind_for_nodes_have_them_from_several_vendors(machine: Machine) -> None:
    def with_drives(pci_id: str, count: int) -> Host:
        drives = [device(f"0000:0{i}:00.0", pci_id, "10802") for i in range(count)]
        return machine({path: text for files in (NODE, *drives) for path, text in files.items()})

    claimed = {"10de:2330": 1, "15b3:101d": 1, "nvme": 2}
    verdict = verdict_of("pci.devices", with_drives("1344:51C3", 1), claimed=claimed)
    assert verdict.summary == "PCI devices are missing: found 1 of 2 nvme"
    assert verdict_of("pci.devices", with_drives("1344:51C3", 2), claimed=claimed).status == Status.OK
    assert learnt(with_drives("144D:A80A", 2)) == claimed


def test_a_lost_nvswitch_is_missed(machine: Machine) -> None:
    def with_switches(count: int) -> Host:
        switches = [device(f"0000:0{i}:00.0", "10DE:22A3", "68000") for i in range(count)]
        return machine({path: text for files in (NODE, *switches) for path, text in files.items()})

    claimed = {"10de:2330": 1, "10de:22a3": 4, "15b3:101d": 1}
    lost = with_switches(3)
    assert verdict_of("pci.devices", lost, claimed=claimed).summary.endswith("found 3 of 4 10de:22a3")
    assert verdict_of("pci.devices", lost, claimed={"nvswitch": 4}).status == Status.FAIL
    whole = with_switches(4)
    assert learnt(whole) == claimed
    assert verdict_of("pci.devices", whole, claimed=claimed | {"nvswitch": 4}).status == Status.OK


def test_a_service_processors_display_is_no_gpu(machine: Machine) -> None:
    host = machine(device("0000:03:00.0", "1A03:2000", "30000") | device("0000:00:02.0", "1002:73BF", "30000"))

    assert [d.kind for d in PciDevices.read(host).known.values()] == ["gpu", "other"]


def test_a_missing_device_that_may_be_the_unread_one_is_unknown(machine: Machine) -> None:
    host = machine(NODE, errors={f"{PCI}/{GPU}/uevent": ("denied", "EACCES")})

    assert verdict_of("pci.devices", host, claimed={"gpu": 1}).status == Status.UNKNOWN
    assert verdict_of("pci.devices", host, claimed={"nic": 1}).status == Status.OK


def test_a_claim_on_a_machine_without_pci_fails(machine: Machine) -> None:
    assert verdict_of("pci.devices", machine({}), claimed={"gpu": 8}).status == Status.FAIL

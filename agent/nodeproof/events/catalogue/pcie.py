"""PCI Express: advanced error reporting, containment, hot-plug, devices that do not answer, the IOMMU.

Sources: drivers/pci/pcie/aer.c (wording of 3.10 to 6.16), drivers/pci/pcie/dpc.c, drivers/pci/hotplug/pciehp_ctrl.c,
drivers/pci/pci.c, drivers/iommu/{intel/dmar.c,amd/iommu.c}.
"""

from nodeproof.events.rule import ALL_H, DEVICE, PCI, Line, Rule

_FATAL = r"Uncorrect(?:ed|able) \(Fatal\)"
_NONFATAL = r"Uncorrect(?:ed|able) \(Non-Fatal\)"
_CORRECTED = r"Correct(?:ed|able)"

_IO_PAGE_FAULT = r"AMD-Vi: Event logged \[IO_PAGE_FAULT domain=(?P<domain>0x[0-9a-f]+) address=(?P<address>0x[0-9a-f]+)"

_PORT = r"[\w-]{1,40} (?P<port>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): "


def _aer(severity: str) -> tuple[Line, ...]:
    """Return the lines of one error: what the device itself says, and what its root port received."""
    return (
        Line(DEVICE + rf"(?:AER: )?PCIe Bus Error: severity={severity}, type=(?P<layer>[^,]{{1,40}})"),
        Line(_PORT + rf"AER: (?:Multiple )?{severity} error (?:message )?received(?: from |: ){PCI}", "received"),
        Line(DEVICE + rf"AER: (?:Multiple )?{severity} error received: id=[0-9a-f]+", "received"),
    )


RULES = (
    Rule(
        id="event.aer_fatal",
        name="fatal PCIe error",
        title="No PCIe device had a fatal error.",
        why="The link itself is no longer reliable and was or must be reset. Whatever the device did at that moment is "
        "lost; a GPU or NIC rarely comes back whole.",
        remedy="Drain and reboot. Reseat the device, its riser and cables; an error that stays in the slot when "
        "devices are swapped is the board's.",
        source="drivers/pci/pcie/aer.c, aer_print_error; Documentation/PCI/pcieaer-howto.rst",
        lines=_aer(_FATAL),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.aer_nonfatal",
        name="non-fatal uncorrected PCIe error",
        title="PCIe devices do not lose transactions.",
        why="One transaction failed and the link is still reliable. Drivers retry or not; a device that goes on so is "
        "on its way to a fatal error.",
        remedy="Look which device it is and what else it says in the kernel log. Reseat it, update its firmware; drain "
        "the node if it goes on.",
        source="drivers/pci/pcie/aer.c, aer_print_error; Documentation/PCI/pcieaer-howto.rst",
        lines=_aer(_NONFATAL),
        limit=3,
        part="pci:{pci}",
    ),
    Rule(
        id="event.aer_corrected",
        name="corrected PCIe error",
        title="No PCIe device corrects errors over and over.",
        why="The link repeats what was damaged, so nothing is lost but time. A storm of it is a contact, a riser or a "
        "cable, and slows down all that goes through the link.",
        remedy="Reseat the device, its riser and cables. If it stays in the slot when devices are swapped, the board "
        "or the riser is replaced.",
        source="drivers/pci/pcie/aer.c, aer_print_error. The limit is ours: a sound link "
        "shows few in a day, and the kernel writes only some of a storm",
        lines=_aer(_CORRECTED),
        limit=100,
        part="pci:{pci}",
    ),
    Rule(
        id="event.aer_unrecovered",
        name="PCIe device that could not be recovered",
        title="PCIe devices recover from their errors.",
        why="The kernel tried to reset the device or its link after an error and the driver could not go on: the "
        "device is there, but of no use until it is reset as a whole.",
        remedy="Reboot the node; if the error comes back, reseat and then replace the device.",
        source="drivers/pci/pcie/err.c, pcie_do_recovery",
        lines=(
            Line(DEVICE + r"(?:AER: )?device recovery failed"),
            Line(DEVICE + r"(?:AER: )?subordinate device reset failed"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.pcie_contained",
        name="PCIe port that cut off what is behind it",
        title="No PCIe port cut off the devices behind it.",
        why="Downstream port containment takes a link down at the first uncorrected error, so that nothing damaged "
        "gets through. Devices behind it were reset or are gone.",
        remedy="Drain and reboot; find the device behind that port (`lspci -t`) and treat it as one with fatal errors.",
        source="drivers/pci/pcie/dpc.c, dpc_process_error",
        lines=(Line(DEVICE + r"DPC: containment event, status:(?P<status>0x[0-9a-f]+)"),),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.pcie_slot_down",
        name="PCIe slot that lost its link or card",
        title="No PCIe slot lost its device.",
        why="A device left the bus while the machine ran. Unless somebody pulled it, its link, power or firmware "
        "failed.",
        remedy="If nobody removed it: reseat the device and its cables, look for power faults in the BMC's log, and "
        "power-cycle.",
        source="drivers/pci/hotplug/pciehp_ctrl.c, pciehp_handle_presence_or_link_change; pciehp_hpc.c",
        lines=(
            Line(DEVICE + r"(?:pciehp: )?Slot\((?P<slot>[^)]{1,40})\): (?P<what>Link Down|Card not present)"),
            Line(DEVICE + r"(?:pciehp: )?Slot\((?P<slot>[^)]{1,40})\): (?P<what>Power fault)", "power"),
            Line(
                rf"pciehp {PCI}:pcie\d+: Slot\((?P<slot>[^)]{{1,40}})\): "
                r"(?P<what>Link Down|Card not present|Power fault)"
            ),
        ),
        until="boot",
        window_h=ALL_H,
        part="pci:{pci}",
    ),
    Rule(
        id="event.pci_inaccessible",
        name="PCI device that does not answer",
        title="Every PCI device answers when the kernel speaks to it.",
        why="A device whose configuration space reads as all ones is off the bus, whatever the list of devices still "
        "shows.",
        remedy="Power-cycle the node; a device that is lost again is reseated, then replaced.",
        source="drivers/pci/pci.c, pci_power_up and pci_dev_wait",
        lines=(
            Line(DEVICE + r"Unable to change power state from (?P<state>\S+) to D0, device inaccessible"),
            Line(DEVICE + r"can't change power state from (?P<state>\S+) to D0 \(config space inaccessible\)"),
            Line(DEVICE + r"not ready (?P<waited>\d+)ms after (?P<reset>[^;]{1,40}); giving up"),
        ),
        severity="fail",
        window_h=ALL_H,
        until="boot",
        part="pci:{pci}",
    ),
    Rule(
        id="event.iommu_fault",
        name="access to memory that the IOMMU refused",
        title="No device reaches for memory that is not its own.",
        why="A driver or a device used an address that it was not given. Single ones happen when drivers unload; a "
        "stream of it is a device that writes where it should not.",
        remedy="Update the driver and the firmware of the device that the line names; drain the node if it goes on.",
        source="drivers/iommu/intel/dmar.c, dmar_fault_do_one; drivers/iommu/amd/iommu.c, iommu_print_event",
        lines=(
            Line(
                r"DMAR: \[(?:DMA Read|DMA Write|INTR-REMAP)[^\]]{0,40}\] (?:Request device|PASID \S+ Request device) "
                rf"\[{PCI}\] (?:PASID \S+ )?fault (?:addr|index) ?(?P<address>[0-9a-fx]+)"
            ),
            Line(DEVICE + _IO_PAGE_FAULT),
            Line(_IO_PAGE_FAULT.replace("FAULT ", rf"FAULT device={PCI} ")),
        ),
        limit=10,
        part="pci:{pci}",
    ),
)

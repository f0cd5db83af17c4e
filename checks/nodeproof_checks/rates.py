"""Judgement of how fast error counters rise. How they are counted over time is in `over_time`.

Deliberately not here: InfiniBand, whose limits differ by port (`ib_counters`).
"""

from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.ledger import Seen
from nodeproof.verdict import Verdict, fail, named, warn
from nodeproof_checks.over_time import HOUR_S, Limit, counts, errors_allowed, excess, fine, judged, raise_unsure

#: The PCI Express Base Specification asks for 1e-12 of each lane: this is sixteen lanes of 16 GT/s.
_PCIE_PER_HOUR = float(errors_allowed(1e-12, 16 * 16e9, HOUR_S))

#: IEEE 802.3 asks for 1e-12 at 25 Gb/s and below; faster links correct errors and are to have fewer.
_ETHERNET_PER_HOUR = float(errors_allowed(1e-12, 25e9, HOUR_S))


@check(
    "pci.aer_rate",
    remedy="Look for `AER:` in the kernel log. Reseat the device and its riser, check its cooling; the fault may lie "
    "with the link partner of the device that counts it.",
    beta=True,
)
def aer_rate(
    seen: Seen,
    *,
    max_correctable_per_hour: Annotated[float, "corrected errors of one device in an hour"] = _PCIE_PER_HOUR,
    max_nonfatal_per_hour: Annotated[float, "uncorrected non-fatal errors of one device in an hour"] = 10.0,
    max_fatal_per_hour: Annotated[float, "fatal errors that one device sent or received in an hour"] = 0.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No device reports PCIe errors faster than a sound link may have them.

    A storm of corrected errors costs a replay each and is how a bad contact shows first; counted since boot it drowns
    in a month of good behaviour, as a rate it stands out in an hour. The limit of corrected errors is what the PCI
    Express Base Specification's bit error ratio of 1e-12 allows sixteen busy lanes of 16 GT/s.
    """
    limits = [
        Limit("pci.aer_fatal", "fatal PCIe errors", max_fatal_per_hour),
        Limit("pci.aer_received_fatal", "fatal PCIe errors from below", max_fatal_per_hour),
        Limit("pci.aer_nonfatal", "non-fatal PCIe errors", max_nonfatal_per_hour),
        Limit("pci.aer_correctable", "corrected PCIe errors", max_correctable_per_hour),
    ]
    return judged(seen, limits, window_h)


@check(
    "memory.corrected_rate",
    remedy="Above {max_errors_per_hour} an hour: replace the named DIMM. Fewer: reseat it at the next maintenance, and "
    "watch whether the errors stay with the DIMM or with its slot.",
)
def corrected_rate(
    seen: Seen,
    *,
    warn_errors_per_hour: Annotated[float, "corrected errors of one DIMM in an hour from which to warn"] = 0.42,
    max_errors_per_hour: Annotated[float, "corrected errors of one DIMM in an hour"] = 42.7,
    window_h: Annotated[float, "hours that are looked back on"] = 24.0,
) -> Verdict:
    """No DIMM has corrected errors at a rate that announces uncorrected ones.

    Each corrected error costs a machine-check interrupt, and a DIMM with many of them is the one that kills a job
    next. The warning is mcelog's threshold for a DIMM (`ce-error-threshold`, 10 in 24 hours), the limit that at which
    the kernel gives up a single page (drivers/ras/cec.c: 1023 in 24 hours).
    """
    limit = Limit("memory.corrected", "corrected errors", max_errors_per_hour)
    if over := excess(seen, [limit], window_h):
        return fail(named(list(over.values())), parts=sorted(over), error_count=counts(seen, [limit], window_h))
    raise_unsure(seen, [limit])
    early = limit._replace(per_hour=warn_errors_per_hour)
    if over := excess(seen, [early], window_h):
        return warn(named(list(over.values())), parts=sorted(over), error_count=counts(seen, [limit], window_h))
    return fine(seen, [limit], window_h)


@check(
    "nic.error_rate",
    remedy="Check cable and transceiver, clean the fibre, and compare the switch port's counters; if they stay, swap "
    "the cable with a sound port's.",
    beta=True,
)
def nic_error_rate(
    seen: Seen,
    *,
    max_errors_per_hour: Annotated[float, "bad packets of one port in an hour, by counter"] = _ETHERNET_PER_HOUR,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No Ethernet port damages packets faster than its standard allows.

    A transceiver that is dying, or a fibre that was touched, shows as some hundred damaged packets an hour long
    before the link goes down. The limit is what IEEE 802.3's bit error ratio of 1e-12 allows at 25 Gb/s, if each bit
    spoils a packet of its own. Packets that the host had no room for are not among them (`nic.errors`).
    """
    limits = [
        Limit("nic.rx_crc_errors", "packets with a bad checksum", max_errors_per_hour),
        Limit("nic.rx_errors", "bad received packets", max_errors_per_hour),
        Limit("nic.tx_carrier_errors", "packets lost for want of a carrier", max_errors_per_hour),
        Limit("nic.tx_errors", "packets that could not be sent", max_errors_per_hour),
    ]
    return judged(seen, limits, window_h)


@check(
    "nic.flap_rate",
    remedy="Check cable, transceiver and switch port, and whether the switch was at work at that time.",
    beta=True,
)
def flap_rate(
    seen: Seen,
    *,
    max_changes_per_hour: Annotated[float, "carrier changes of one port in an hour; down and up make 2"] = 10.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No Ethernet port loses its link several times an hour.

    Each loss costs seconds, which jobs see as a hang or a broken connection. The limit is ours: a driver or a switch
    that starts anew makes two to four changes, a port that is dying makes them for as long as it is left.
    """
    return judged(seen, [Limit("nic.carrier_changes", "carrier changes", max_changes_per_hour)], window_h)


@check(
    "cpu.throttle_rate",
    remedy="Check fans, air filters, inlet temperature and the seat of the heat sink; the BMC's log says whether a "
    "fan failed.",
    beta=True,
)
def throttle_rate(
    seen: Seen,
    *,
    max_changes_per_hour: Annotated[float, "thermal events of one core or package in an hour"] = 60.0,
    window_h: Annotated[float, "hours that are looked back on"] = 1.0,
) -> Verdict:
    """No CPU slows down for heat time and again.

    A CPU that reached its limit of temperature lowers its clock, and all ranks of a job wait for that one. Single
    events are no fault; one a minute (the limit is ours) is a fan, a filter or a heat sink. The kernel counts on
    Intel's CPUs alone (drivers/thermal/intel/therm_throt.c).
    """
    limits = [
        Limit("cpu.package_throttles", "thermal events of its package", max_changes_per_hour),
        Limit("cpu.core_throttles", "thermal events", max_changes_per_hour),
    ]
    return judged(seen, limits, window_h)


@check(
    "nvme.media_error_rate",
    remedy="Move data off the drive and replace it; `nvme error-log` says which blocks were concerned.",
    beta=True,
)
def media_error_rate(
    seen: Seen,
    *,
    max_errors_per_hour: Annotated[float, "media errors of one drive in an hour"] = 0.125,
    window_h: Annotated[float, "hours that are looked back on"] = 24.0,
) -> Verdict:
    """No NVMe drive meets media errors one after another.

    Each one is data that the drive could not give back. A few in a drive's life are within its specification
    (`nvme.health` counts those); more than three in a day (the limit is ours) are flash that is wearing out now.
    Source: NVM Express Base Specification, SMART log, Media and Data Integrity Errors.
    """
    return judged(seen, [Limit("nvme.media_errors", "media errors", max_errors_per_hour)], window_h)

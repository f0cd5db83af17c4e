"""Judgement of how GPUs are set up. Source: NVIDIA NVML API reference."""

from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_place import GpuPlaces
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import listed, on_off, parts

_Switch = Literal["on", "off"]


def _mode(gpus: Gpus, field: str) -> dict[str, str]:
    """Return the mode that all GPUs are in, as the policy that asks for it."""
    modes = {on_off(getattr(gpu, field)) for gpu in gpus.saying(field)}
    return {"required": modes.pop()} if len(modes) == 1 else {}


@check(
    "gpu.persistence",
    tags="healthcheck boot gpu",
    remedy="Inspect: does nvidia-persistenced run (`systemctl enable --now nvidia-persistenced`)? Where it does not, "
    "`nvidia-smi -pm 1` sets the mode until the next reboot.",
    learn=lambda gpus: _mode(gpus, "is_persistence_on"),
    beta=True,
)
def persistence(gpus: Gpus, *, required: Annotated[_Switch, "what persistence mode must be"] = "on") -> Verdict:
    """Persistence mode of every GPU is as required.

    Without it the driver gives a GPU up with its last client: the next job waits seconds for its initialisation, and
    settings like power limits are lost. Source: NVIDIA Driver Persistence.
    """
    known = gpus.saying("is_persistence_on")
    if wrong := {g.label: "" for g in known if on_off(g.is_persistence_on) != required}:
        return fail(f"persistence mode is not {required}: {named(wrong)}", parts=parts(wrong))
    gpus.raise_unjudged("is_persistence_on")
    return ok(f"persistence mode is {required} on {len(known)} GPUs")


@check(
    "gpu.mig_mode",
    tags="healthcheck boot gpu",
    remedy="Set the mode (`nvidia-smi -mig 0` or `-mig 1`) and reset the GPU when no job uses it; compare gres.conf.",
    learn=lambda gpus: _mode(gpus, "is_mig_on"),
    beta=True,
)
def mig_mode(gpus: Gpus, *, required: Annotated[_Switch, "what MIG mode must be"]) -> Verdict:
    """MIG mode of every GPU is as required, and stays so after the next reset.

    A GPU that somebody left divided fails every job that asks for a whole one, and Slurm finds another number of
    devices than its gres.conf says. Source: NVML API reference, nvmlDeviceGetMigMode.
    """
    known = gpus.saying("is_mig_on", "is_mig_on_after_reset")
    if wrong := {g.label: "" for g in known if on_off(g.is_mig_on) != required}:
        return fail(f"MIG mode is not {required}: {named(wrong)}", parts=parts(wrong))
    gpus.raise_unjudged("is_mig_on", "is_mig_on_after_reset")
    if wrong := {g.label: "" for g in known if g.is_mig_on_after_reset != g.is_mig_on}:
        return warn(f"MIG is {required} until the next reset, which will switch it: {named(wrong)}", parts=parts(wrong))
    return ok(f"MIG is {required} on {len(known)} GPUs")


def _limit_shares(gpus: Gpus) -> dict[str, float]:
    known = gpus.saying("power_limit_mw", "power_limit_default_mw")
    return {g.label: (g.power_limit_mw or 0) / g.power_limit_default_mw for g in known if g.power_limit_default_mw}


@check(
    "gpu.power_limit",
    tags="healthcheck boot gpu",
    remedy="Inspect: who set the limit (`nvidia-smi -q -d POWER`)? `nvidia-smi -pl WATTS` sets it. Where the enforced "
    "limit is below the one that was asked for, look at the power supplies and the BMC's power cap.",
    learn=lambda gpus: {"min_share": round(min(shares), 3)} if (shares := _limit_shares(gpus).values()) else {},
    beta=True,
)
def power_limit(
    gpus: Gpus,
    *,
    min_share: Annotated[float, "least power limit of a GPU, as a share of its default limit"] = 1.0,
) -> Verdict:
    """No GPU's power limit is below what it should be.

    One GPU that may draw less than its peers is slower than they are, and every collective waits for it. The limit
    that is enforced is the least of all that are set. Source: NVML API reference, nvmlDeviceGetEnforcedPowerLimit.
    """
    shares = _limit_shares(gpus)
    if low := {label: f"may draw {share:.0%}" for label, share in shares.items() if share < min_share - 0.0005}:
        return fail(f"power limits below {min_share:.0%} of the default: {listed(low)}", parts=parts(low))
    gpus.raise_unjudged("power_limit_mw", "power_limit_default_mw")
    if not shares:
        raise FactError(gpus.vendor.device.__name__, "absent", "no GPU has a default power limit")
    return ok(f"{len(shares)} GPUs may draw at least {min(shares.values()):.0%} of their default power")


@check(
    "gpu.clocks",
    tags="healthcheck boot gpu",
    remedy="Inspect: take back limits of clocks (`nvidia-smi -rac`, `nvidia-smi -rgc`) and find out who set them. A "
    "GPU whose highest clock is below that of its model has another VBIOS or is another product.",
    learn=lambda gpus: {"min_sm_mhz": min(g.sm_mhz_max for g in found)} if (found := gpus.saying("sm_mhz_max")) else {},
    beta=True,
)
def clocks(
    gpus: Gpus, *, min_sm_mhz: Annotated[int, "least that a GPU's highest SM clock may be; 0: any"] = 0
) -> Verdict:
    """No GPU is kept below the clocks that its model reaches.

    Applications clocks that an experiment left behind slow down every later job on that GPU. What clock a GPU has now
    is not judged, since idle ones lower it. Source: NVML API reference, nvmlDeviceGetApplicationsClock.
    """
    known = gpus.saying("sm_mhz_max")
    low = {g.label: f"reaches {g.sm_mhz_max} MHz" for g in known if (g.sm_mhz_max or 0) < min_sm_mhz}
    if low:
        return fail(f"expected GPUs to reach {min_sm_mhz} MHz: {listed(low)}", parts=parts(low))
    held = {
        g.label: f"is set to {g.application_mhz} MHz, by default {g.application_mhz_default}"
        for g in gpus.saying("application_mhz", "application_mhz_default")
        if (g.application_mhz or 0) < (g.application_mhz_default or 0)
    }
    if held:
        return fail(f"applications clocks are held down: {listed(held)}", parts=parts(held))
    gpus.raise_unjudged("sm_mhz_max")
    gpus.raise_unread("application_mhz", "application_mhz_default")
    return ok(f"{len(known)} GPUs reach {named({f'{g.sm_mhz_max} MHz' for g in known})}")


@check(
    "gpu.topology",
    tags="healthcheck boot gpu",
    remedy="Inspect: compare slots, risers and firmware (NUMA nodes per socket, PCIe bifurcation) with another node of "
    "the class. After a change that was meant, learn the policy anew.",
    learn=lambda places: {"expected": {address: place.words for address, place in places.of.items()}},
    beta=True,
)
def topology(
    places: GpuPlaces,
    *,
    expected: Annotated[dict[str, str], "by PCI address: NUMA node and nearest adapters, as `node 0 0000:18:00.0`"],
) -> Verdict:
    """Every GPU sits at the NUMA node and beside the network adapter that it should.

    Jobs pin processes and choose adapters by what the class looks like. On a node that is cabled or set up in another
    way GPUDirect goes through a socket more, with half the bandwidth, and nothing says so. Source: kernel
    documentation, ABI/testing/sysfs-bus-pci (numa_node); the tree of devices in sysfs.
    """
    found = {address: place.words for address, place in places.of.items()}
    wrong = {
        address: f"is at {found.get(address, 'no place')}, expected {words}"
        for address, words in expected.items()
        if found.get(address) != words
    }
    wrong |= {
        address: f"is at {words}, not expected there" for address, words in found.items() if address not in expected
    }
    if wrong:
        return fail(f"{len(wrong)} of {len(found)} GPUs are placed otherwise: {listed(wrong)}", parts=parts(wrong))
    return ok(f"{len(found)} GPUs are placed as expected")

"""Judgement of what is stored on GPUs: VBIOS and InfoROM. Source: NVIDIA NVML API reference."""

from fnmatch import fnmatchcase
from typing import Annotated

from nodeproof.check import check
from nodeproof.errors import FactError
from nodeproof.probes.gpu import Gpus
from nodeproof.probes.gpu_inforom import Inforoms
from nodeproof.verdict import Verdict, fail, named, ok, warn
from nodeproof_checks.gpu_common import listed, odd_ones, parts


def _odd(versions: dict[str, tuple[str | None, str]]) -> dict[str, str]:
    """Return GPUs that have another version than most of their model."""
    odd = dict[str, str]()
    for model in {model for model, _ in versions.values()}:
        of_model = {label: version for label, (name, version) in versions.items() if name == model}
        odd |= {label: f"has {version}" for label, version in odd_ones(of_model).items()}
    return dict(sorted(odd.items()))


def _judged(what: str, versions: dict[str, tuple[str | None, str]], allowed: tuple[str, ...]) -> Verdict | None:
    """Return what is wrong with the versions, if anything is."""
    found = {label: version for label, (_, version) in versions.items()}
    wrong = {label: f"has {v}" for label, v in found.items() if not any(fnmatchcase(v, a) for a in allowed)}
    if allowed and wrong:
        return fail(f"{what} is expected to be {named(allowed)}: {listed(wrong)}", parts=parts(wrong), versions=found)
    if odd := _odd(versions):
        return warn(f"{what} differs between GPUs of one model: {listed(odd)}", parts=parts(odd), versions=found)
    return None


@check(
    "gpu.vbios",
    tags="healthcheck boot gpu",
    remedy="Inspect: have the vendor's VBIOS for this board flashed, the same on all nodes of the class.",
    learn=lambda gpus: {"allowed": tuple(sorted({g.vbios_version for g in gpus.saying("vbios_version")}))},
    beta=True,
)
def vbios(
    gpus: Gpus,
    *,
    allowed: Annotated[tuple[str, ...], "VBIOS versions that are allowed, e.g. 96.00.*; empty: any"] = (),
) -> Verdict:
    """Every GPU runs an allowed VBIOS, and GPUs of one model the same.

    It holds power and thermal limits and the tables by which links are trained. A GPU that was replaced brings another
    one along, and is then the slow one. Source: NVML API reference, nvmlDeviceGetVbiosVersion.
    """
    versions = {g.label: (g.name, g.vbios_version or "") for g in gpus.saying("vbios_version")}
    if verdict := _judged("VBIOS", versions, allowed):
        return verdict
    gpus.raise_unjudged("vbios_version")
    return ok(f"VBIOS {named({v for _, v in versions.values()})} on {len(versions)} GPUs")


def _images(inforoms: Inforoms) -> dict[str, tuple[str | None, str]]:
    return {label: (i.gpu_name, i.image_version) for label, i in inforoms.of.items() if i.image_version is not None}


@check(
    "gpu.inforom",
    tags="healthcheck boot gpu",
    remedy="Corrupted: reboot the node; replace the GPU if that does not help. Another version than expected: inspect, "
    "and have it flashed by the vendor's tools.",
    learn=lambda inforoms: {"allowed": tuple(sorted({version for _, version in _images(inforoms).values()}))},
    beta=True,
)
def inforom(
    inforoms: Inforoms,
    *,
    allowed: Annotated[tuple[str, ...], "InfoROM image versions that are allowed, e.g. G520.*; empty: any"] = (),
) -> Verdict:
    """Every GPU's InfoROM is sound, in an allowed version, and the same on GPUs of one model.

    It remembers which memory is bad. Where its checksum is wrong that is lost, and memory that was out of use comes
    back. Source: NVML API reference, nvmlDeviceValidateInforom and nvmlDeviceGetInforomImageVersion.
    """
    versions = _images(inforoms)
    if corrupted := {label: "" for label, i in inforoms.of.items() if i.is_valid is False}:
        return fail(f"the InfoROM is corrupted: {named(corrupted)}", parts=parts(corrupted))
    if verdict := _judged("InfoROM", versions, allowed):
        return verdict
    _raise_unread(inforoms)
    if not versions:
        raise FactError("nvml_inforom", "absent", "no GPU says its InfoROM version: not supported")
    checked = sum(i.is_valid is True for i in inforoms.of.values())
    images = named({version for _, version in versions.values()})
    return ok(f"InfoROM {images} on {len(versions)} GPUs, {checked} with sound checksums")


def _raise_unread(inforoms: Inforoms) -> None:
    for error in inforoms.unread:
        raise error
    for label, one in inforoms.of.items():
        for field in ("image_version", "is_valid"):
            if word := one.errors.get(field):
                raise FactError(f"nvml_inforom {label}", "failed", f"{field}: {word}")

"""What hardware can do at most, by arithmetic alone. Every formula says where it comes from."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from nodeproof.errors import FactError
from nodeproof.probes.smbios import TABLE, Dimms

#: Data bits of a channel of DDR memory are 64: JEDEC JESD79-4, and JESD79-5, where they are two sub-channels of 32.
_CHANNEL_BYTES = 8

#: Slots of one channel: three with DDR3 and DDR4, fewer with DDR5. More says that a name was misunderstood.
_MOST_SLOTS = 3

#: Names of channels, in the order in which they are believed: `P0 CHANNEL A`, `P0_Node1_Channel2_Dimm0`,
#: then `P1-DIMMB2` and `CPU0_DIMM_B1`, where the letter is the channel.
_CHANNEL_NAMES = (r"(.*channel[ _-]?[0-9a-z]+)", r"(.*dimm[ _-]?[a-z])[ _-]?[0-9]$")

#: How close to (k - 1) / k a bandwidth has to be to look like one of k channels is missing.
_CHANNEL_TOLERANCE = 0.02

#: A smaller loss is what healthy nodes differ by: one of twenty channels could not be told from it.
_LEAST_LOSS = 0.05

#: Line codes of the PCI Express Base Specification 6.0, chapter 4: 8b/10b, 128b/130b, and flits of 256 bytes that hold
#: 236 of packets.
_LINE_CODES = {2.5: 8 / 10, 5.0: 8 / 10, 8.0: 128 / 130, 16.0: 128 / 130, 32.0: 128 / 130, 64.0: 236 / 256}

#: Bits of a vector by instruction set; a vector of SVE is as long as the CPU likes.
_VECTOR_BITS = {"sse2": 128, "avx2": 256, "avx512": 512, "neon": 128}

#: Pipes for multiplications and additions that cores have: one in small ones, four in Neoverse V1 and V2.
_PIPES = (1, 2, 3, 4)


class MemoryPeak(NamedTuple):
    """What all memory channels can move together. `is_certain`: the firmware's names tell the channels apart.

    Otherwise each module is taken for a channel of its own, and the truth may be less.
    """

    bytes_per_s: float
    channels: int
    mts: int
    is_certain: bool


def memory_peak(dimms: Dimms, count: int | None = None) -> MemoryPeak:
    """Return channels x configured transfers per second x 8 bytes: what is populated, at the speed that it runs at.

    `count` channels, or as many as the slots' names say. Raises FactError `absent` where the firmware does not say how
    fast they run, as in virtual machines.
    """
    modules = [d for d in dimms.installed if d.is_module and d.kind != "non-volatile"]
    speeds = [d.configured_mts for d in modules]
    if not speeds or not all(speeds):
        raise FactError(f"{TABLE} type 17", "absent", "the firmware does not say how fast the memory modules run")
    if others := {d.kind for d in modules if not d.kind.startswith("DDR")}:
        raise FactError(f"{TABLE} type 17", "absent", f"channels of {min(others)} are of no width that is known")
    slowest = min(mts for mts in speeds if mts)  # a memory controller clocks all its channels alike
    channels = _channels(dimms)
    is_certain = count is not None or channels is not None or len(modules) == 1
    if count is None and channels is not None:
        names = {d.locator for d in modules}
        count = sum(not names.isdisjoint(slots) for slots in channels.values())
    elif count is None:
        count = len(modules)  # of which two may have one name
    return MemoryPeak(count * slowest * 1e6 * _CHANNEL_BYTES, count, slowest, is_certain)


def _channels(dimms: Dimms) -> Mapping[str, list[str]] | None:
    """Return the slots of each channel, or None where their names do not tell: Dell and HPE just count slots."""
    slots = [*(d.locator for d in dimms.installed), *dimms.empty]
    for pattern in _CHANNEL_NAMES:
        found = [_first_match(pattern, slot) for slot in slots]
        named = [name for name in found if name is not None]
        if len(named) < len(slots):
            continue
        channels: dict[str, list[str]] = {}
        for name, slot in zip(named, slots, strict=True):
            channels.setdefault(name, []).append(slot)
        if max(map(len, channels.values())) <= _MOST_SLOTS and len(set(slots)) == len(slots):
            return channels
    return None


def _first_match(pattern: str, locator: str) -> str | None:
    """Return the channel that a locator such as `DIMMA1 (P0_Node0_Channel0_Dimm0)` names in one of its two parts."""
    for part in locator.removesuffix(")").split(" ("):
        if match := re.match(pattern, part, re.IGNORECASE | re.ASCII):
            return match[1].lower()
    return None


def missing_channel(share: float, channels: int) -> int | None:
    """Return k if a bandwidth that is `share` of what it should be looks like k channels less one.

    `channels` is how many the firmware lists: the missing one may still be among them.
    """
    if share > 1 - _LEAST_LOSS:
        return None
    fitting = [k for k in (channels, channels + 1) if k > 1 and abs(share - (k - 1) / k) <= _CHANNEL_TOLERANCE]
    return min(fitting, key=lambda k: abs(share - (k - 1) / k), default=None)


def flops_per_clock(isa: str, element_bits: int = 64) -> tuple[int, ...]:
    """Return what a core can do in one clock: lanes x 2 (a multiplication and an addition) x pipes; empty: not known.

    Fused multiply-adds are as wide as the vectors, or half as wide where a core does one of 512 bits in two halves.
    """
    bits = _VECTOR_BITS.get(isa)
    if bits is None:
        return ()
    widths = {bits // element_bits, bits // 2 // element_bits} if bits > 128 else {bits // element_bits}
    return tuple(sorted({lanes * 2 * pipes for lanes in widths for pipes in _PIPES}))


def pcie_bytes_per_s(gt_per_s: float, lanes: int) -> float | None:
    """Return what a link carries each way, packet headers included; None for a speed that no specification has."""
    code = _LINE_CODES.get(gt_per_s)
    return None if code is None else gt_per_s * 1e9 / 8 * lanes * code

"""Judgement of memory: size, errors, huge pages and swap. The modules themselves are in `dimms`."""

from collections.abc import Container
from typing import Annotated, Literal

from nodeproof.check import check
from nodeproof.probes.edac import MemoryErrors
from nodeproof.probes.memory import HugePages, MemorySize, Swap, TransparentHugePages
from nodeproof.verdict import Verdict, fail, named, ok, plural


def _learn_size(memory: MemorySize) -> dict[str, object]:
    """Round 99 % of it down to about a percent: nodes that are alike differ by what their kernels reserved."""
    step = 1 << max(0, memory.total_bytes.bit_length() - 7)
    return {"min_bytes": memory.total_bytes * 99 // 100 // step * step}


@check(
    "memory.size",
    remedy="Look for a missing or disabled DIMM (memory.dimms, firmware event log) and for "
    "`mem=` or `crashkernel=` on the kernel command line.",
    learn=_learn_size,
)
def size(
    memory: MemorySize,
    *,
    min_bytes: Annotated[int, "least memory that the kernel must have, in bytes"],
) -> Verdict:
    """The node has as much memory as its class should have.

    A job sized for the class is killed by the kernel on the one node that lost a DIMM. Slurm notices
    only if RealMemory is set tightly.
    """
    if memory.total_bytes < min_bytes:
        return fail(
            f"{memory.total_bytes >> 20} MiB of memory, expected at least {min_bytes >> 20} MiB",
            total_bytes=memory.total_bytes,
        )
    return ok(f"{memory.total_bytes >> 20} MiB of memory", total_bytes=memory.total_bytes)


@check(
    "memory.edac",
    tags="prolog healthcheck boot",
    remedy="Uncorrected: replace the named DIMM. Corrected above {max_corrected_errors}: reseat or replace it at the "
    "next maintenance. Writing to `reset_counters` of the controller starts the count again.",
)
def edac(
    errors: MemoryErrors,
    *,
    max_corrected_errors: Annotated[int, "corrected errors that one DIMM may have since its driver was loaded"] = 1000,
) -> Verdict:
    """No DIMM has uncorrected errors, and none has too many corrected ones.

    An uncorrected error has already killed a process or will. Thousands of corrected ones slow the node
    down by machine-check interrupts and announce the uncorrected one.
    """
    uncorrected = {c.label: c.uncorrected for c in errors.counts if c.uncorrected}
    corrected = {c.label: c.corrected for c in errors.counts if c.corrected}
    evidence = {"uncorrected_errors": uncorrected, "corrected_errors": corrected}
    if uncorrected:
        found = [f"{label} has {count}" for label, count in uncorrected.items()]
        return fail(
            f"uncorrected memory errors, expected none: {named(found)}", parts=_parts(errors, uncorrected), **evidence
        )
    above = {label: count for label, count in corrected.items() if count > max_corrected_errors}
    if above:
        found = [f"{label} has {count}" for label, count in above.items()]
        text = f"corrected memory errors, expected at most {max_corrected_errors}: {named(found)}"
        return fail(text, parts=_parts(errors, above), **evidence)
    for error in errors.unread:
        raise error
    return ok(f"0 uncorrected and {sum(corrected.values())} corrected memory errors", **evidence)


def _parts(errors: MemoryErrors, labels: Container[str]) -> list[str]:
    """Return modules as the kernel log names them (by their own label), and as their counters are named."""
    names = [name for c in errors.counts if c.label in labels for name in (c.dimm, c.label) if name]
    return [f"dimm:{name}" for name in dict.fromkeys(names)]


@check(
    "memory.transparent_hugepages",
    remedy="Write {required} to /sys/kernel/mm/transparent_hugepage/enabled and make it permanent in tuned or with "
    "transparent_hugepage={required} on the kernel command line.",
    learn=lambda pages: {"required": pages.mode},
)
def transparent_hugepages(
    pages: TransparentHugePages,
    *,
    required: Annotated[Literal["always", "madvise", "never"], "mode of transparent huge pages"],
) -> Verdict:
    """Transparent huge pages are in the required mode.

    Most HPC codes gain from `always`; some databases and latency-bound services lose. What hurts is a
    node that differs: its TLB misses make it the straggler.
    """
    if pages.mode != required:
        return fail(f"transparent huge pages are {pages.mode}, expected {required}", mode=pages.mode)
    return ok(f"transparent huge pages are {pages.mode}", mode=pages.mode)


def _reserved(pages: HugePages) -> dict[str, object]:
    reserved = {page: count for page, count in pages.pages.items() if count}
    return {"required": reserved} if reserved else {}


@check(
    "memory.hugepages",
    remedy="Reserve them at boot (hugepagesz= and hugepages= on the kernel command line): later, memory may be too "
    "fragmented.",
    learn=_reserved,
)
def hugepages(
    pages: HugePages,
    *,
    required: Annotated[dict[str, int], 'least pages in the pool by page size, e.g. {"2048kB" = 1024}'],
) -> Verdict:
    """The pool of persistent huge pages is as large as required.

    Where the pool came out smaller than asked for, because memory was already fragmented, programs that
    rely on it do not start, or fall back silently and run slower.
    """
    evidence = {"pages": dict(pages.pages)}
    short = [
        f"{plural(pages.pages.get(page, 0), 'huge page')} of {page}, expected at least {least}"
        for page, least in required.items()
        if pages.pages.get(page, 0) < least
    ]
    if short:
        return fail("; ".join(short), **evidence)
    return ok(named([f"{plural(count, 'huge page')} of {page}" for page, count in pages.pages.items()]), **evidence)


def _learn_swap(swap: Swap) -> dict[str, object]:
    """Round up to whole GiB: a partition differs by a page or so from node to node."""
    return {"max_bytes": -(-swap.total_bytes >> 30) << 30}


@check(
    "memory.swap",
    remedy="Run `swapoff` for what is too much and remove it from /etc/fstab, systemd or zram-generator.",
    learn=_learn_swap,
)
def swap(
    swap: Swap,
    *,
    max_bytes: Annotated[int, "most swap space that may be active, in bytes; 0: none"],
) -> Verdict:
    """There is no more swap space than allowed.

    A job that swaps holds all its peers back for hours, where an out-of-memory kill would have told the
    user in a second.
    """
    total = swap.total_bytes
    if total > max_bytes:
        where = f": {named(swap.areas)}" if swap.areas else ""
        return fail(
            f"{total >> 20} MiB of swap, expected at most {max_bytes >> 20} MiB{where}",
            areas_bytes=dict(swap.areas),
        )
    return ok(f"{total >> 20} MiB of swap", areas_bytes=dict(swap.areas))

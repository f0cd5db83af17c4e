"""Judgement of CPUs."""

from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.cpu import CpuFrequency
from nodeproof.verdict import Verdict, fail, named, ok


@check(
    "cpu.governor",
    tags="prolog healthcheck boot",
    remedy="Run `cpupower frequency-set -g {required}` and make it permanent in tuned or the cpupower service.",
    learn=lambda frequency: {"required": next(iter(frequency.policies.values())).governor},
)
def governor(
    frequency: CpuFrequency,
    *,
    required: Annotated[str, "governor that every CPU must use"] = "performance",
) -> Verdict:
    """Every CPU uses the required frequency governor.

    One CPU left in `powersave` or `ondemand` answers late, and at the next barrier the whole job waits
    for it. With intel_pstate in active mode `powersave` is the driver's adaptive governor: allow it
    only if your energy policy asks for it.
    """
    wrong = {n: p.governor for n, p in frequency.policies.items() if p.governor != required}
    if wrong:
        return fail(
            f"{len(wrong)} of {len(frequency.policies)} CPUs use governor {named(set(wrong.values()))}, "
            f"expected {required}: CPU {named(sorted(wrong))}",
            cpus=sorted(wrong),
        )
    return ok(f"{len(frequency.policies)} CPUs use governor {required}")

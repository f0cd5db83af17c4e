"""Judgement of the clock."""

from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.timekeeping import ClockSync
from nodeproof.verdict import Verdict, fail, ok, warn


@check(
    "time.synchronised",
    tags="healthcheck",
    remedy="Look at `chronyc tracking` or `timedatectl timesync-status`: does it run and reach its servers? "
    "With chrony, set rtcsync in chrony.conf: without it the kernel is never told that the clock is synchronised.",
    learn=lambda clock: {"is_required": True} if clock.is_synchronised else {},
)
def synchronised(
    clock: ClockSync,
    *,
    is_required: Annotated[bool, "an unsynchronised clock is a failure and no mere warning"] = False,
    max_error_us: Annotated[
        int, "largest error that the clock may have by the kernel's bound, in microseconds"
    ] = 2_000_000,
) -> Verdict:
    """A time service keeps the clock.

    With clocks apart munge refuses credentials (Slurm then loses the node), Kerberos mounts fail, make
    rebuilds or forgets files on shared file systems, and traces of ranks cannot be put in order.
    The kernel's error bound grows by 0.5 ms each second between corrections: below a second with
    chrony, up to a second with systemd-timesyncd. Whether it must be kept is the site's choice.
    Not asked at boot, when no time service has had the time for its first correction.
    """
    judged = fail if is_required else warn
    evidence = {"offset_us": clock.offset_us, "max_error_us": clock.max_error_us}
    if not clock.is_synchronised and clock.is_bound_kept:
        return warn("STA_UNSYNC is set though the error bound is kept: chrony needs rtcsync", **evidence)
    if not clock.is_synchronised:
        return judged("the clock is not synchronised: no time service keeps it, expected one", **evidence)
    if clock.max_error_us > max_error_us:
        text = f"the clock may be off by {clock.max_error_us} us, expected at most {max_error_us} us"
        return judged(text, **evidence)
    return ok(f"the clock is synchronised to within {clock.max_error_us} us", **evidence)

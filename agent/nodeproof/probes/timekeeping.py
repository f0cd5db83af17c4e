"""How well the kernel's clock is kept."""

from typing import NamedTuple, Self

from nodeproof.host import Host
from nodeproof.host.timex import adjtimex
from nodeproof.probes import fact

_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000

#: NTP_PHASE_LIMIT of the kernel: the bound at boot, and where it is no longer let grow.
_BOUND_LIMIT_US = 16_000_000


@fact("adjtimex(2)")
class ClockSync(NamedTuple):
    """Whether a time service disciplines the clock, and how far off it may be, in microseconds.

    `max_error_us` grows by 500 each second until the service next corrects the clock.
    """

    is_synchronised: bool
    max_error_us: int
    estimated_error_us: int
    offset_us: float

    @property
    def is_bound_kept(self) -> bool:
        """Whether a service has told the kernel lately how good the clock is, be it synchronised or not."""
        return self.max_error_us < _BOUND_LIMIT_US

    @classmethod
    def read(cls, host: Host) -> Self:
        answer = host.call(adjtimex)
        status, offset = answer["status"], answer["offset"]
        return cls(
            is_synchronised=not status & _STA_UNSYNC,
            max_error_us=answer["max_error_us"],
            estimated_error_us=answer["estimated_error_us"],
            offset_us=offset / 1000 if status & _STA_NANO else float(offset),
        )

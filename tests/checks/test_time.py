"""The clock: kept, not kept, kept badly, and not to be asked."""

from nodeproof.check import registry
from nodeproof.host import Host
from nodeproof.host.timex import adjtimex
from nodeproof.probes.timekeeping import ClockSync
from nodeproof.verdict import Status
from support import Machine, verdict_of

KEPT = {
    "state": 0,
    "status": 0x2001,
    "offset": 12_500,
    "frequency_scaled_ppm": 0,
    "max_error_us": 1500,
    "estimated_error_us": 20,
}
ADRIFT = KEPT | {"state": 5, "status": 0x41, "max_error_us": 16_000_000}


def test_a_kept_clock_is_ok_and_its_offset_in_microseconds(machine: Machine) -> None:
    verdict = verdict_of("time.synchronised", machine({}, calls={(adjtimex,): KEPT}), is_required=True)

    assert verdict.status == Status.OK
    assert verdict.evidence == {"offset_us": 12.5, "max_error_us": 1500}


def test_a_clock_adrift_warns_and_fails_where_it_must_be_kept(machine: Machine) -> None:
    host = machine({}, calls={(adjtimex,): ADRIFT})

    assert verdict_of("time.synchronised", host).status == Status.WARN
    assert verdict_of("time.synchronised", host, is_required=True).status == Status.FAIL


def test_a_large_error_bound_counts_like_no_synchronisation(machine: Machine) -> None:
    host = machine({}, calls={(adjtimex,): KEPT})

    assert verdict_of("time.synchronised", host, max_error_us=1000).status == Status.WARN
    assert verdict_of("time.synchronised", host, max_error_us=1000, is_required=True).summary == (
        "the clock may be off by 1500 us, expected at most 1000 us"
    )


def test_a_kept_bound_with_the_flag_unset_is_chrony_without_rtcsync(machine: Machine) -> None:
    """chrony keeps the bound in any case, but clears STA_UNSYNC only with rtcsync."""
    host = machine({}, calls={(adjtimex,): ADRIFT | {"max_error_us": 15_999_999}})

    verdict = verdict_of("time.synchronised", host, is_required=True)
    assert verdict.status == Status.WARN
    assert verdict.summary == "STA_UNSYNC is set though the error bound is kept: chrony needs rtcsync"


def test_the_clock_is_not_judged_at_boot() -> None:
    assert registry()["time.synchronised"].tags == {"healthcheck"}


def test_what_cannot_be_asked_is_unknown(machine: Machine) -> None:
    host = machine({}, errors={"adjtimex": ("denied", "EPERM")})

    assert verdict_of("time.synchronised", host).status == Status.UNKNOWN


def test_only_a_kept_clock_is_learnt_to_be_required(machine: Machine) -> None:
    learn = registry()["time.synchronised"].learn
    assert learn

    assert learn(ClockSync(True, 1, 1, 0.0)) == {"is_required": True}
    assert learn(ClockSync(False, 1, 1, 0.0)) == {}


def test_this_machine_has_a_clock() -> None:
    assert ClockSync.read(Host()).max_error_us >= 0

"""Judgement of transceivers in InfiniBand and Ethernet ports: warmth and light."""

import math
from collections.abc import Iterator
from typing import Annotated

from nodeproof.check import check
from nodeproof.probes.module_memory import BIAS, RECEIVED, SENT, TEMPERATURE, Limits, Module
from nodeproof.probes.transceiver import Transceivers
from nodeproof.verdict import Status, Verdict, fail, named, ok, plural, warn

#: What a module says of no light at all, which has no logarithm: below what any module measures.
_DARK_DBM = -40.0

Finding = tuple[Status, str]


def _dbm(milliwatts: float) -> float:
    return max(_DARK_DBM, 10 * math.log10(milliwatts)) if milliwatts > 0 else _DARK_DBM


def _crossed(value: float, limits: Limits, words: str, unit: str) -> Iterator[Finding]:
    """Yield that a value is beyond an alarm, which fails, or beyond a warning."""
    if value > limits.high_alarm or value < limits.low_alarm:
        bound = limits.high_alarm if value > limits.high_alarm else limits.low_alarm
        yield Status.FAIL, f"{words} {value:.1f} {unit}, its alarm is at {bound:.1f}"
    elif value > limits.high_warning or value < limits.low_warning:
        bound = limits.high_warning if value > limits.high_warning else limits.low_warning
        yield Status.WARN, f"{words} {value:.1f} {unit}, its warning is at {bound:.1f}"


def _warmth(module: Module, max_celsius: float | None) -> Iterator[Finding]:
    celsius = module.temperature_celsius
    if celsius is None:
        return
    if max_celsius is not None and celsius > max_celsius:
        yield Status.FAIL, f"is at {celsius:.1f} °C, expected at most {max_celsius:g}"
    elif TEMPERATURE in module.limits:
        limits = module.limits[TEMPERATURE]
        heat = limits._replace(low_alarm=-math.inf, low_warning=-math.inf)  # a cold module works
        yield from _crossed(celsius, heat, "is at", "°C")


def _light(module: Module, margin_db: float) -> Iterator[Finding]:
    for number, lane in module.lanes.items():
        for quantity, milliwatts, verb in (
            (RECEIVED, lane.received_mw, "receives"),
            (SENT, lane.sent_mw, "sends"),
        ):
            if milliwatts is None or quantity not in module.limits:
                continue
            limits = Limits(*(_dbm(limit) for limit in module.limits[quantity]))
            least, dbm = limits.low_alarm + margin_db, _dbm(milliwatts)
            if quantity == RECEIVED and margin_db and limits.low_alarm <= dbm < least:
                words = f"lane {number} {verb} {dbm:.1f} dBm, expected at least {least:.1f}"
                yield Status.FAIL, f"{words}: {margin_db:g} dB above its alarm"
            else:
                yield from _crossed(dbm, limits, f"lane {number} {verb}", "dBm")
        if lane.bias_ma is not None and BIAS in module.limits:
            yield from _crossed(lane.bias_ma, module.limits[BIAS], f"lane {number} drives its laser with", "mA")


@check(
    "ib.transceiver",
    remedy="Too little light received: clean the fibre and its connectors, then replace the cable, then the module at "
    "the other end. Too little sent, or too much current: replace the module. Too warm: check the air flow.",
    tags="healthcheck boot infiniband",
    beta=True,
)
def transceiver(
    modules: Transceivers,
    *,
    min_rx_power_margin_db: Annotated[float, "dB that received light must be above the module's own alarm"] = 0.0,
    max_temperature_celsius: Annotated[
        float | None, "temperature of a module in degrees Celsius; its own alarm counts if unset"
    ] = None,
) -> Verdict:
    """No transceiver of an InfiniBand or Ethernet port is too warm, too dim or at the end of its laser.

    Light goes before the link does: a dirty connector or an ageing laser shows here weeks before packets are lost. Each
    module is measured by its own limits, which its maker wrote into it: beyond an alarm it fails, beyond a warning it
    warns. Light is judged on ports that have a link, for an unused one is dark; copper cables have none. Alarms that a
    module noted earlier are in the evidence and not judged: it notes them at every start too, and reading clears them.
    What has no limits of its own is not judged.
    """
    found: dict[str, list[Finding]] = {}
    for name, module in modules.known.items():
        findings = list(_warmth(module, max_temperature_celsius))
        if name in modules.linked:
            findings += _light(module, min_rx_power_margin_db)
        if findings:
            found[name] = sorted(findings, key=lambda finding: -finding[0])
    bad = {name: findings for name, findings in found.items() if findings[0][0] == Status.FAIL}
    shown = bad or found
    words = [f"{name} {named([words for _, words in findings], 1)}" for name, findings in shown.items()]
    evidence = {"modules": {name: _known(modules.known[name]) for name in shown}}
    if bad:
        return fail(named(words, 2), parts=[f"nic:{name}" for name in bad], **evidence)
    for error in modules.unread.values():
        raise error
    if found:
        return warn(named(words, 2), parts=[f"nic:{name}" for name in found], **evidence)
    judged = [name for name, module in modules.known.items() if module.limits]
    return ok(f"{plural(len(modules.known), 'module')}, {len(judged)} with limits of their own, none beyond them")


def _known(module: Module) -> dict[str, object]:
    """Return what an operator orders a spare by, and what the module measured."""
    lanes = {str(number): lane._asdict() for number, lane in module.lanes.items()}
    return {
        "vendor": module.vendor,
        "part": module.part,
        "serial": module.serial,
        "temperature_celsius": module.temperature_celsius,
        "lanes": lanes,
        "flags": list(module.flags),
    }

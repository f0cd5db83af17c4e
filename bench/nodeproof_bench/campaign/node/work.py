"""One job of a campaign on its node: do what the order says, and deliver one result file, whatever happens.

SIGTERM (scancel, Slurm's own limit) and the order's limit end the work: what there is until then is delivered with a
line that says so. Whoever may not look at something gets *unknown* there, as elsewhere: a job need not be root's.
"""

import contextlib
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator

from nodeproof.check import registry
from nodeproof.cli.check import select
from nodeproof.engine import run
from nodeproof.engine.identity import read_identity
from nodeproof.errors import FactError, NodeproofError
from nodeproof.host import Host, open_host
from nodeproof.policy.resolve import load_settings
from nodeproof.probes.identity import host_name
from nodeproof.report.document import Context, as_json
from nodeproof_bench.campaign import limits
from nodeproof_bench.campaign.collect.files import MOST_BYTES, SCHEMA, written
from nodeproof_bench.campaign.node import inventory, judging, measuring, past
from nodeproof_bench.campaign.node.deliver import deliver
from nodeproof_bench.campaign.node.kept import earlier, keep
from nodeproof_bench.campaign.node.lines import Lines, say
from nodeproof_bench.campaign.order import DELIVERED, LOST, NOT_TAKEN, WorkOrder

#: How long delivering may take beyond the order's limit (Slurm's own is two minutes beyond it), and after SIGTERM:
#: SIGKILL comes after KillWait, 30 s by default (slurm.conf(5)).
_MORE_S, _AFTER_SIGNAL_S = 90.0, 20.0

#: Kinds of jobs that judge all checks: corrected errors and throttling show under stress and after it, and what failed
#: in each of them is no accident.
_WITH_CHECKS = frozenset({"inventory", "stress", "repeat"})


class _TimeIsUp(BaseException):
    """The order's limit. No Exception, so that nobody on the way takes it for a failure."""


def work(order: WorkOrder, token: str) -> int:
    """Do what an order says, or deliver what an earlier attempt did and could not deliver. Returns the exit code."""
    kept = earlier(order)
    if kept is not None:
        say(f"attempt {kept.attempt} measured this, and it is delivered now")
        content, until_s = kept.content, time.monotonic() + _MORE_S
    else:
        content, until_s = _made(order)
    try:
        code = deliver(order, token, content, until_s)
    except Exception:  # noqa: BLE001  # what was measured must not be lost to a bug
        traceback.print_exc()
        code = NOT_TAKEN
    except BaseException:  # noqa: BLE001  # SIGTERM or SIGINT, as the main module raises them
        _ignore_signals()
        say("stopped by a signal before the result was delivered")
        code = NOT_TAKEN
    is_safe = code == DELIVERED or keep(order, content)
    if kept is not None and is_safe:
        kept.forget()
    return code if is_safe or kept is not None else LOST


def _made(order: WorkOrder) -> tuple[bytes, float]:
    """Do the work. Returns the result file, and until when it may be delivered (monotonic)."""
    began_s, lines = time.monotonic(), Lines()
    left_s = min(order.limit_s, order.ends_at - time.time() if order.ends_at else order.limit_s)
    until_s = began_s + max(1.0, left_s)
    with open_host("/") as host:
        stop = _done(host, order, lines, until_s)
        head = _head(host, order, lines.began_at)
    content = written(head, lines.all, time.time())
    if len(content) > MOST_BYTES:
        lines.all = [line for line in lines.all if line["kind"] == "problem"]
        lines.problem(f"the result had {len(content)} bytes, expected at most {MOST_BYTES}: it is left out")
        content = written(head, lines.all, time.time())
    return content, time.monotonic() + _AFTER_SIGNAL_S if stop else until_s + _MORE_S


def _done(host: Host, order: WorkOrder, lines: Lines, until_s: float) -> bool:
    """Do the work, and note what went wrong. Returns whether a signal ended it: from then on signals are ignored."""
    try:
        with _limited(until_s):
            _do(host, order, lines, until_s)
    except NodeproofError as error:
        lines.problem(str(error))
    except Exception as error:  # noqa: BLE001  # what was measured must not be lost to a bug
        traceback.print_exc()
        lines.problem(f"{order.kind} crashed: {type(error).__name__}: {error}")
    except _TimeIsUp:
        lines.problem(f"the limit of {order.limit_s:g} s was over before the work was done")
    except BaseException:  # noqa: BLE001  # SIGTERM or SIGINT, as the main module raises them
        _ignore_signals()
        lines.problem("stopped by a signal before the work was done")
        return True
    return False


def _ignore_signals() -> None:
    """Let the first signal be the last: whoever sent it sends SIGKILL next, and until then a result can be saved."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _do(host: Host, order: WorkOrder, lines: Lines, until_s: float) -> None:
    if order.kind == "inventory":
        lines.facts(inventory.read(host))
    else:
        _measure(host, order, lines, until_s)
    if order.kind in _WITH_CHECKS:
        _check(host, order, lines)
    if order.kind == "inventory":
        lines.history(past.events())


def _measure(host: Host, order: WorkOrder, lines: Lines, until_s: float) -> None:
    """Measure, then judge: what was measured is there whatever policy says."""
    bench = measuring.opened(host, order)
    if order.kind == "pairs":
        measuring.pair(bench, order, lines, until_s)
    elif order.kind == "stress":
        measuring.stress(bench, order, lines)
    else:
        measuring.repeats(bench, order, lines)
    documents = [line["document"] for line in lines.all if line["kind"] == "bench"]
    if any(document["results"] for document in documents):  # verdicts alone are no result of a job that measures
        lines.check(judging.report_of(host, order, documents))


def _check(host: Host, order: WorkOrder, lines: Lines) -> None:
    """Judge all checks but those of benchmark results, as `nodeproof check` does; tell the limits of those."""
    specs = registry()
    settings, warnings = load_settings(order.policy or None, host, specs, identify=read_identity)
    if order.kind == "inventory":
        lines.facts(limits.told(settings, specs))
    outcome = run(host, select(specs, (), set()), settings)
    lines.check(json.loads(as_json(outcome, Context(host_name(host), "default", settings, warnings))))


def _head(host: Host, order: WorkOrder, began_at: float) -> dict[str, object]:
    try:
        boot_id = host.text("/proc/sys/kernel/random/boot_id")
    except FactError:
        boot_id = ""
    return {
        "schema": SCHEMA,
        **order.key._asdict(),
        "job_id": os.environ.get("SLURM_JOB_ID", "")[:20],
        "phase": order.phase,
        "kind": order.kind,
        "host": host_name(host),
        "boot_id": boot_id,
        "began_at": began_at,
    }


@contextlib.contextmanager
def _limited(until_s: float) -> Iterator[None]:
    """Raise _TimeIsUp in here when the time is up. A signal of a timer: children neither inherit nor see it."""

    def end(*_: object) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, until_s - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""The decision: pure, so every rule is a few lines."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproof.check import CheckSpec
from nodeproof.decide import History, Intent, Streak, counted, decide, text_of, this_pass_only
from nodeproof.engine import Result
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.slurm.wish import MAX_TEXT_BYTES
from nodeproof.verdict import Status, Verdict

ENFORCE = Settings(mode="enforce")


def result(
    check_id: str,
    status: Status,
    summary: str = "broken",
    settings: CheckSettings = CheckSettings(),  # noqa: B008  # a tuple
    *,
    beta: bool = False,
) -> Result:
    spec = CheckSpec(check_id, lambda: Verdict(status, summary), (), {}, frozenset(), "", None, beta)
    return Result(spec, settings, Verdict(status, summary), 0.0)


def after(
    passes: Sequence[Sequence[Result]], settings: Settings = ENFORCE, drained_for: tuple[str, ...] = ()
) -> Intent:
    """Return the intent of the last of several passes."""
    history = History({}, drained_for)
    for results in passes:
        history = counted(history, results)
    return decide(passes[-1], history, settings)


def of(check_id: str, **keys: object) -> Settings:
    return Settings(mode="enforce", checks={check_id: CheckSettings(**keys)})  # type: ignore[arg-type]


def test_a_failure_drains_and_the_reason_names_it() -> None:
    intent = after([[result("fs.mounted", Status.FAIL, "/scratch is not mounted"), result("cpu.smt", Status.OK)]])

    assert intent == Intent(
        action="drain",
        why="fs.mounted failed: /scratch is not mounted",
        is_dry=False,
        checks=("fs.mounted",),
        text="fs.mounted: /scratch is not mounted",
    )


def test_further_failures_are_counted_in_the_reason() -> None:
    intent = after([[result(f"cpu.c{n}", Status.FAIL, f"fault {n}") for n in range(3)]])

    assert intent.text == "cpu.c0: fault 0 (+2 more)"
    assert intent.checks == ("cpu.c0", "cpu.c1", "cpu.c2")


@pytest.mark.parametrize("status", [Status.OK, Status.SKIP, Status.WARN, Status.UNKNOWN])
def test_nothing_but_a_failure_drains(status: Status) -> None:
    assert after([[result("a.b", status)]] * 5).action == "nothing"


@pytest.mark.parametrize("on_fail", ["report", "ignore"])
def test_policy_may_keep_a_failure_from_draining(on_fail: str) -> None:
    settings = CheckSettings(on_fail=on_fail)  # type: ignore[arg-type]

    assert after([[result("a.b", Status.FAIL, settings=settings)]]).action == "nothing"


def test_a_beta_check_does_not_drain() -> None:
    assert after([[result("a.b", Status.FAIL, beta=True)]]).action == "nothing"


def test_observing_is_dry() -> None:
    intent = after([[result("a.b", Status.FAIL)]], Settings(mode="observe"))

    assert (intent.action, intent.is_dry) == ("drain", True)


def test_a_drain_waits_for_failures_in_a_row() -> None:
    fails = [result("a.b", Status.FAIL, settings=CheckSettings(after=3))]
    settings = of("a.b", after=3)

    assert after([fails] * 2, settings) == Intent("nothing", "a.b failed 2 of 3 times", is_dry=False)
    assert after([fails] * 3, settings).why == "a.b failed 3 times in a row: broken"


@pytest.mark.parametrize("between", [Status.OK, Status.WARN, Status.UNKNOWN, Status.SKIP])
def test_whatever_is_no_failure_ends_the_row(between: Status) -> None:
    settings = CheckSettings(after=2)
    fails = [result("a.b", Status.FAIL, settings=settings)]

    assert after([fails, [result("a.b", between, settings=settings)], fails]).action == "nothing"


def test_resume_waits_for_passes_in_a_row() -> None:
    passed = [result("a.b", Status.OK)]

    assert after([passed] * 2, drained_for=("a.b",)).why == "it stays drained: a.b passed 2 of 3 times"
    assert after([passed] * 3, drained_for=("a.b",)) == Intent("resume", "a.b passed again", False, ("a.b",))


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.SKIP, Status.FAIL])
def test_what_is_not_a_pass_never_resumes_and_starts_over(status: Status) -> None:
    fault, passed = [result("a.b", status, settings=CheckSettings(after=9))], [result("a.b", Status.OK)]
    settings = of("a.b", after=9)

    assert after([passed, passed, passed, fault], settings, ("a.b",)).action == "nothing"
    assert after([passed, passed, fault, passed, passed], settings, ("a.b",)).action == "nothing"


def test_a_warning_is_a_pass() -> None:
    assert after([[result("a.b", Status.WARN)]] * 3, drained_for=("a.b",)).action == "resume"


def test_every_check_of_our_drain_must_pass() -> None:
    half = [result("a.b", Status.OK), result("c.d", Status.UNKNOWN)]

    assert after([half] * 9, drained_for=("a.b", "c.d")).why == "it stays drained: c.d is unknown"


def test_a_check_that_did_not_run_holds_the_drain() -> None:
    intent = after([[result("a.b", Status.OK)]] * 9, drained_for=("a.b", "gone.check"))

    assert intent.why == "it stays drained: gone.check is not judged"


def test_policy_releases_a_check_of_our_drain() -> None:
    settings = of("a.b", on_fail="report")
    still = [result("a.b", Status.FAIL, settings=settings.of("a.b"))]

    assert after([still], settings, ("a.b",)).action == "resume"


def test_another_failure_holds_the_drain_before_it_is_ripe() -> None:
    slow = CheckSettings(after=5)
    results = [result("c.d", Status.FAIL, settings=slow), result("a.b", Status.OK)]

    assert after([results] * 3, of("c.d", after=5), ("a.b",)).why == "it stays drained: c.d failed"


def test_a_pass_of_few_checks_keeps_the_counts_of_the_others() -> None:
    history = counted(counted(History(), [result("a.b", Status.OK)]), [result("c.d", Status.FAIL)])

    assert history.streaks == {"a.b": Streak(passes=1), "c.d": Streak(fails=1)}


def test_without_memory_only_an_immediate_drain_is_left() -> None:
    fails = [result("a.b", Status.FAIL), result("c.d", Status.FAIL, settings=CheckSettings(after=2))]

    assert decide(fails, this_pass_only(fails), ENFORCE).checks == ("a.b",)


def test_the_reason_is_inert_wherever_it_is_pasted() -> None:
    hostile = 'x\n\'; rm -rf /; `id` $(id) "q" | y \\ \x1b[31m \u202e 80 °C …'

    text = text_of([result("a.b", Status.FAIL, hostile)])

    assert text == "a.b: x??; rm -rf /; ?id? ?(id) ?q? ? y ? ?[31m ? 80  C ..."


@given(st.text(max_size=400), st.integers(min_value=1, max_value=30))
def test_the_reason_always_fits_and_keeps_its_ends(summary: str, count: int) -> None:
    text = text_of([result("a.b", Status.FAIL, summary)] * count)

    assert len(text.encode()) <= MAX_TEXT_BYTES
    assert text.startswith("a.b: "[: len(text)])
    assert text.isascii()
    assert text.isprintable()
    assert count == 1 or text.endswith(f" (+{count - 1} more)")


statuses = st.lists(st.sampled_from(list(Status)), min_size=1, max_size=12)


@given(st.dictionaries(st.sampled_from(["a.a", "b.b", "c.c"]), statuses, min_size=1))
def test_no_history_drains_on_unknown_or_resumes_on_it(rows: Mapping[str, list[Status]]) -> None:
    passes = [[result(i, row[n % len(row)]) for i, row in rows.items()] for n in range(12)]
    for n in range(1, 12):
        intent = after(passes[:n], drained_for=("a.a",))
        now = {r.spec.id: r.verdict.status for r in passes[n - 1]}
        if intent.action == "drain":
            assert {now[i] for i in intent.checks} == {Status.FAIL}
        if intent.action == "resume":
            assert Status.FAIL not in now.values()
            assert now["a.a"] in (Status.OK, Status.WARN)


def test_a_node_whose_classes_are_in_doubt_is_neither_drained_nor_resumed() -> None:
    doubtful = ENFORCE._replace(doubts=("/proc/driver/nvidia/gpus/*/information: timed out",))

    assert after([[result("a.b", Status.FAIL)]], doubtful).action == "nothing"
    resume = after([[result("a.b", Status.OK)]] * 5, doubtful, drained_for=("a.b",))
    assert resume.action == "nothing"
    assert "timed out" in resume.why

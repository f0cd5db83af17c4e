"""What a hook tells slurmd: its exit code and its lines. Pure."""

import pytest

from nodeproof.check import CheckSpec
from nodeproof.engine import Pass, Result
from nodeproof.hooks.answer import answer
from nodeproof.hooks.busy import while_busy
from nodeproof.hooks.occasion import Occasion
from nodeproof.policy.settings import CheckSettings, OnFail
from nodeproof.slurm import Record, Wish
from nodeproof.state import Held, State
from nodeproof.verdict import Status, Verdict


def outcome_of(status: Status) -> Pass:
    spec = CheckSpec("fs.mounted", lambda: Verdict(status, ""), (), {}, frozenset(), "", None, beta=False)
    return Pass((Result(spec, CheckSettings(), Verdict(status, "/scratch is not mounted"), 0.0),), {})


def told(kind: str, intent: str, result: str, status: Status = Status.FAIL) -> tuple[int, tuple[str, ...]]:
    action = {
        "node": "n1",
        "intent": intent,
        "result": result,
        "summary": f"{result}: n1",
        "is_error": result in {"error", "unsure", "slurm_error", "no_slurm_url"},
        "warnings": [],
    }
    return answer(Occasion(kind, 4711, "n1", 0.0), outcome_of(status), action)


@pytest.mark.parametrize(
    ("result", "prolog", "epilog"),
    [
        ("drained", 1, 1),
        ("adopted", 1, 1),
        ("already_drained", 1, 1),
        ("left_alone", 1, 0),
        ("unsure", 1, 0),
        ("slurm_error", 1, 0),
        ("lost_race", 1, 0),
        ("held_back", 0, 0),
        ("would_drain", 0, 0),
        ("no_slurm_url", 0, 0),
        ("error", 0, 0),
        ("busy", 0, 0),
        ("a word of a later version", 0, 0),
    ],
)
def test_a_job_is_kept_off_where_that_goes_round_nobody(result: str, prolog: int, epilog: int) -> None:
    code, lines = told("prolog", "drain", result)
    assert code == prolog
    assert ("job 4711 does not start on n1" in lines) == bool(prolog)
    assert f"{result}: n1" in lines
    assert told("epilog", "drain", result)[0] == epilog


@pytest.mark.parametrize(("result", "code"), [("drained", 1), ("left_alone", 1), ("unsure", 0), ("slurm_error", 0)])
def test_where_policy_says_pass_only_a_node_that_is_out_of_service_refuses_a_job(result: str, code: int) -> None:
    action = {"node": "n1", "intent": "drain", "result": result, "summary": "s", "is_error": False, "warnings": []}
    occasion = Occasion("prolog", 4711, "n1", 0.0)
    assert answer(occasion, outcome_of(Status.FAIL), action, fails_untold=False).exit_code == code


def test_an_earlier_drain_keeps_no_job_off_a_node_that_passes() -> None:
    assert told("prolog", "nothing", "already_drained", Status.OK) == (0, ("already_drained: n1",))


@pytest.mark.parametrize("kind", ["healthcheck", "prolog", "epilog"])
def test_of_a_well_node_nothing_is_said(kind: str) -> None:
    assert told(kind, "nothing", "nothing", Status.OK) == (0, ())
    assert told(kind, "nothing", "nothing", Status.SKIP) == (0, ())
    assert told(kind, "nothing", "nothing", Status.WARN) == (0, ())


@pytest.mark.parametrize(("kind", "code"), [("healthcheck", 3), ("prolog", 0), ("epilog", 0)])
def test_unknown_is_loud_and_stops_nothing(kind: str, code: int) -> None:
    expected = (code, ("could not tell: fs.mounted: /scratch is not mounted",))
    assert told(kind, "nothing", "nothing", Status.UNKNOWN) == expected


def test_a_failure_that_drains_nothing_is_told() -> None:
    assert told("healthcheck", "nothing", "nothing") == (1, ("failed: fs.mounted: /scratch is not mounted",))
    assert told("prolog", "nothing", "nothing")[0] == 0


def test_beside_a_drain_a_failure_that_is_no_part_of_it_is_told() -> None:
    """A beta check is in no reason, and must not go unsaid for another one's drain."""
    drains, beta = (outcome_of(Status.FAIL).results[0] for _ in range(2))
    beta = beta._replace(spec=beta.spec._replace(id="nic.flap_rate", beta=True))
    action = {"node": "n1", "intent": "drain", "result": "drained", "summary": "s", "is_error": False, "warnings": []}

    made = answer(Occasion("healthcheck", 0, "n1", 0.0), Pass((drains, beta), {}), action)

    assert made.lines == ("s", "failed: nic.flap_rate: /scratch is not mounted")


def busy(state: State, status: Status = Status.FAIL, mode: str = "enforce", on_fail: OnFail = "drain") -> object:
    """Return what a prolog makes of a state that another run holds."""
    outcome = outcome_of(status)
    (result,) = outcome.results
    action = {"node": "n1", "mode": mode, "intent": "nothing", "result": "busy", "summary": "busy"}
    outcome = outcome._replace(results=(result._replace(settings=CheckSettings(on_fail=on_fail)),))
    return while_busy(action, outcome, state)["result"]


WANTED = Wish("n1", "drain", "01234567", "fs.mounted: gone", ("fs.mounted",))


def test_a_prolog_that_may_not_act_knows_what_the_other_run_wanted() -> None:
    assert busy(State(wanted=WANTED)) == "unsure"
    assert busy(State(drain=Record("01234567", "nodeproof[01234567]: gone", ("fs.mounted",)))) == "already_drained"
    assert busy(State(wanted=WANTED, held=Held(9, "too many", "fs.mounted: gone"))) == "held_back"
    assert busy(State()) == "busy"


def test_a_prolog_that_may_not_act_goes_by_its_own_verdicts_too() -> None:
    assert busy(State(wanted=WANTED), Status.OK) == "busy"
    assert busy(State(wanted=WANTED), Status.UNKNOWN) == "busy"
    assert busy(State(wanted=WANTED), on_fail="report") == "busy"
    assert busy(State(wanted=WANTED), mode="observe") == "busy"

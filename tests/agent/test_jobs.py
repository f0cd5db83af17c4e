"""Jobs that run on a node, and the checks that are spared them."""

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from click.testing import CliRunner

from nodeproof.check import _REGISTRY, CheckSpec, check
from nodeproof.cli import explain
from nodeproof.cli import list as list_
from nodeproof.engine import run
from nodeproof.errors import FactError
from nodeproof.policy.settings import Settings
from nodeproof.probes.jobs import RunningJobs
from nodeproof.probes.kernel import KernelTaint
from nodeproof.verdict import Status, Verdict, fail, ok
from support import Machine

TAINT = {"/proc/sys/kernel/tainted": "0\n"}

STEPS = {
    "/proc/1/comm": "systemd\n",
    "/proc/1/cmdline": "/sbin/init\0",
    "/proc/70/comm": "slurmstepd\n",
    "/proc/70/cmdline": "slurmstepd: [4711.batch]\0",
    "/proc/71/comm": "slurmstepd\n",
    "/proc/71/cmdline": "slurmstepd: [4711.0]\0",
    "/proc/72/comm": "slurmstepd\n",
    "/proc/72/cmdline": "slurmstepd: [4800+1.extern]\0",
}


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ({"/proc/1/comm": "systemd\n"}, set()),
        (STEPS, {4711, 4800}),
        ({"/proc/70/comm": "slurmstepd\n", "/proc/70/cmdline": "/usr/sbin/slurmstepd\0infinity\0"}, set()),
        ({"/proc/70/comm": "slurmstepd\n", "/proc/70/cmdline": ""}, set()),
        ({"/proc/70/comm": "bash\n", "/proc/70/cmdline": "slurmstepd: [1.0]\0"}, set()),
        ({"/proc/70/comm": "slurmstepd\n", "/proc/70/cmdline": "slurmstepd: [x.0]\0"}, set()),
        ({"/proc/70/comm": "slurmstepd\n"}, set()),  # it ended between two looks
    ],
)
def test_jobs_are_those_that_a_slurmstepd_names(machine: Machine, files: dict[str, str], ids: set[int]) -> None:
    assert RunningJobs.read(machine(files)).ids == ids


def test_what_may_not_be_looked_at_is_not_taken_for_idle(machine: Machine) -> None:
    host = machine(STEPS, errors={"/proc/[0-9]*/comm": ("denied", "EACCES")})

    with pytest.raises(FactError, match="denied"):
        RunningJobs.read(host)


Interference = Literal["passive", "light", "exclusive"]


@pytest.fixture
def specs() -> Iterator[list[CheckSpec]]:
    """Declare a check of each class."""
    for word in ("passive", "light", "exclusive"):
        _declare(word)
    names = [f"fake.{word}" for word in ("exclusive", "light", "passive")]
    yield [_REGISTRY[name] for name in names]
    for name in names:
        del _REGISTRY[name]


def _declare(word: Interference) -> None:
    def judge(taint: KernelTaint) -> Verdict:
        """A check for tests."""
        del taint
        return ok("well")

    check(f"fake.{word}", remedy="None.", interference=word)(judge)


def statuses(machine: Machine, specs: list[CheckSpec], **how: object) -> list[Status]:
    outcome = run(machine(TAINT | STEPS), specs, Settings(), **how)  # type: ignore[arg-type]
    return [r.verdict.status for r in sorted(outcome.results, key=lambda r: r.spec.id)]


def test_beside_a_job_only_passive_checks_run(machine: Machine, specs: list[CheckSpec]) -> None:
    assert statuses(machine, specs, spares_jobs=True) == [Status.SKIP, Status.SKIP, Status.OK]
    assert statuses(machine, specs) == [Status.OK] * 3


def test_the_job_that_is_about_to_start_is_no_other(machine: Machine, specs: list[CheckSpec]) -> None:
    host = machine(TAINT | {"/proc/70/comm": "slurmstepd\n", "/proc/70/cmdline": "slurmstepd: [4711.extern]\0"})

    own = run(host, specs, Settings(), spares_jobs=True, own_job=4711)
    other = run(host, specs, Settings(), spares_jobs=True, own_job=4712)

    assert {r.verdict.status for r in own.results} == {Status.OK}
    assert [r.verdict.summary for r in other.results if r.verdict.status is Status.SKIP] == [
        "a job is running on this node: 4711"
    ] * 2


@pytest.fixture
def during() -> Iterator[tuple[CheckSpec, list[Callable[[], object]]]]:
    """Declare a check that fails, and that a test can let something happen during."""
    happenings: list[Callable[[], object]] = []

    @check("fake.busy", remedy="None.", interference="exclusive")
    def judge(taint: KernelTaint) -> Verdict:
        """A check for tests."""
        del taint
        for happen in happenings:
            happen()
        return fail("slow")

    yield _REGISTRY["fake.busy"], happenings
    del _REGISTRY["fake.busy"]


def test_what_fails_while_a_job_begins_does_not_count(
    machine: Machine, during: tuple[CheckSpec, list[Callable[[], object]]]
) -> None:
    spec, happenings = during
    host = machine(TAINT)
    happenings.append(lambda: machine(STEPS))

    (spared,) = run(host, [spec], Settings(), spares_jobs=True).results

    assert (spared.verdict.status, spared.verdict.summary) == (
        Status.SKIP,
        "a job is running on this node: 4711, 4800",
    )


def test_what_fails_without_a_job_does(machine: Machine, during: tuple[CheckSpec, list[Callable[[], object]]]) -> None:
    spec, _ = during

    (failed,) = run(machine(TAINT), [spec], Settings(), spares_jobs=True).results

    assert failed.verdict.status is Status.FAIL


def test_not_to_know_of_jobs_is_unknown_for_what_would_disturb_them(machine: Machine, specs: list[CheckSpec]) -> None:
    host = machine(TAINT, errors={"/proc/[0-9]*/comm": ("denied", "EACCES")})

    results = run(host, specs, Settings(), spares_jobs=True).results

    by_id = {r.spec.id: r.verdict for r in results}
    assert by_id["fake.passive"].status is Status.OK
    assert by_id["fake.exclusive"].status is Status.UNKNOWN
    assert "whether a job is running on this node is not known" in by_id["fake.exclusive"].summary


def test_jobs_are_looked_for_only_where_a_check_would_disturb_them(machine: Machine, specs: list[CheckSpec]) -> None:
    host = machine(TAINT, errors={"/proc/[0-9]*/comm": ("denied", "EACCES")})

    passive = [s for s in specs if s.interference == "passive"]

    assert [r.verdict.status for r in run(host, passive, Settings(), spares_jobs=True).results] == [Status.OK]


def test_an_unknown_word_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="loud"):
        _declare("loud")  # type: ignore[arg-type]


def test_explain_and_list_say_what_a_check_does_to_a_job(specs: list[CheckSpec]) -> None:
    del specs

    assert (
        "exclusive: it and a job would spoil each other"
        in CliRunner().invoke(explain.command, ["fake.exclusive"]).output
    )
    listed = CliRunner().invoke(list_.command, []).output
    assert "A check for tests. (light)" in listed
    assert '"interference": "passive"' in CliRunner().invoke(list_.command, ["--json"]).output

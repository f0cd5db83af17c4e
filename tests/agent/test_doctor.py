"""What `nodeproof slurm doctor` makes of slurm.conf, hook files, and of what a slurmrestd says."""

import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trustme

from nodeproof.doctor import slurm_conf
from nodeproof.doctor.finding import Finding
from nodeproof.doctor.hook_files import HookFile, hook_files
from nodeproof.doctor.hooks import judged
from nodeproof.doctor.network import network_findings, server_uid
from nodeproof.doctor.rest import ping_of, server_time_of
from nodeproof.errors import FactError
from nodeproof.policy.settings import Settings, SlurmSettings
from slurm_replay import said, serving

NOW_S = 1_800_000_000


def statuses(findings: Iterable[Finding]) -> dict[str, str]:
    return {f.name: f.verdict.status.word for f in findings}


def summary(findings: Iterable[Finding], name: str) -> str:
    return next(f.verdict.summary for f in findings if f.name == name)


# slurm.conf


def test_slurm_conf_is_read_as_slurmd_reads_it(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text(
        "# a comment\n"
        "ClusterName=mini\n"
        "healthcheckprogram = /usr/bin/check # another\n"
        'EPILOG="/usr/bin/with space"\n'
        "Prolog=/one\nPrologFlags=Alloc,\\\nContain\n"
        "Include more-%c.conf\n"
        "Prolog=/two\tHealthCheckInterval=30\n"
        "NodeName=n[1-2] CPUs=4 Reason=Prolog=/none\n"
        "HealthCheckInterval=60\n"
    )
    (tmp_path / "more-mini.conf").write_text("SchedulerParameters=nohold_on_prolog_fail\nInclude slurm.conf\n")

    conf = slurm_conf.read(str(tmp_path / "slurm.conf"))

    assert conf.of("HealthCheckProgram") == "/usr/bin/check"
    assert conf.of("Epilog") == "/usr/bin/with space"
    assert conf.all_of("prolog") == ("/one", "/two")
    assert conf.words("PrologFlags") == {"alloc", "contain"}
    assert conf.words("SchedulerParameters") == {"nohold_on_prolog_fail"}
    assert conf.number("HealthCheckInterval", 0) == 60
    assert conf.number("PrologTimeout", 65534) == 65534
    assert conf.of("CPUs") == ""
    assert len(conf.problems) == 1


def test_a_slurm_conf_that_includes_what_is_not_there_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text("Include /none\nInclude\nEpilog=/e\n")

    conf = slurm_conf.read(str(tmp_path / "slurm.conf"))

    assert conf.of("Epilog") == "/e"
    assert "Include /none cannot be read" in conf.problems[0]


def test_a_pipe_in_the_place_of_slurm_conf_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slurm.conf")

    with pytest.raises(FactError):
        slurm_conf.read(str(tmp_path / "slurm.conf"))


def test_slurm_conf_is_where_the_environment_says(tmp_path: Path) -> None:
    file = tmp_path / "slurm.conf"
    assert slurm_conf.find({"SLURM_CONF": str(file)}) == ""
    file.touch()
    assert slurm_conf.find({"SLURM_CONF": str(file)}) == str(file)


# Hooks


DEFAULTS = Settings()

GOOD = {
    "healthcheckprogram": ("/h",),
    "healthcheckinterval": ("300",),
    "prolog": ("/p",),
    "epilog": ("/e",),
    "prologflags": ("Alloc",),
    "schedulerparameters": ("bf_continue,nohold_on_prolog_fail",),
}
FILES = {
    "healthcheck": [HookFile("/h", "", frozenset({"healthcheck"}))],
    "prolog": [HookFile("/p", "", frozenset({"prolog"}))],
    "epilog": [HookFile("/e", "", frozenset({"epilog"}))],
}


def hooks(changes: dict[str, tuple[str, ...]], settings: Settings = DEFAULTS) -> dict[str, str]:
    return statuses(judged(slurm_conf.SlurmConf("slurm.conf", GOOD | changes), FILES, settings))


def test_the_fragment_that_we_ship_is_as_the_doctor_wants_it() -> None:
    fragment = Path(__file__).parent.parent.parent / "packaging/slurm/slurm.conf"

    found = list(judged(slurm_conf.read(str(fragment)), FILES, Settings()))

    assert set(statuses(found).values()) == {"ok"}


@pytest.mark.parametrize(
    ("changes", "name", "status"),
    [
        ({}, "hooks.interval", "ok"),
        ({"healthcheckinterval": ("0",)}, "hooks.interval", "fail"),
        ({"healthcheckinterval": ("often",)}, "hooks.interval", "fail"),
        ({"healthcheckinterval": ("30",)}, "hooks.interval", "warn"),
        ({"healthchecktimeout": ("30",)}, "hooks.interval", "fail"),
        ({"healthchecktimeout": ("60",)}, "hooks.interval", "ok"),
        ({"healthchecknodestate": ("IDLE,CYCLE",)}, "hooks.states", "ok"),
        ({"healthchecknodestate": ("NONDRAINED_IDLE",)}, "hooks.states", "warn"),
        ({"healthchecknodestate": ("START_ONLY",)}, "hooks.states", "warn"),
        ({"prologepilogtimeout": ("38",)}, "hooks.timeouts", "fail"),
        ({"prologepilogtimeout": ("39",)}, "hooks.timeouts", "ok"),
        ({"prologepilogtimeout": ("10",), "prologtimeout": ("60",), "epilogtimeout": ("60",)}, "hooks.timeouts", "ok"),
        ({"epilogtimeout": ("10",)}, "hooks.timeouts", "fail"),
        ({"prologflags": ("Serial",)}, "hooks.prolog_flags", "warn"),
        ({"schedulerparameters": ()}, "hooks.prolog_flags", "ok"),
    ],
)
def test_slurm_must_give_hooks_the_time_that_they_may_take(
    changes: dict[str, tuple[str, ...]], name: str, status: str
) -> None:
    if changes.get("schedulerparameters") == ():
        changes, status = {"schedulerparameters": ("bf_continue",)}, "warn"

    assert hooks(changes)[name] == status


def test_a_shorter_budget_needs_less_time() -> None:
    assert hooks({"prologepilogtimeout": ("19",)}, Settings(budget_s=10))["hooks.timeouts"] == "ok"


def test_hooks_that_are_not_configured_are_told() -> None:
    conf = slurm_conf.SlurmConf("slurm.conf", {"prolog": ("/site",)})
    files = {"healthcheck": [], "prolog": [HookFile("/site", "is not there", frozenset())], "epilog": []}

    found = list(judged(conf, files, Settings()))

    assert statuses(found) == {
        "hooks.healthcheck": "fail",
        "hooks.prolog": "warn",
        "hooks.epilog": "warn",
        "hooks.files": "fail",
    }
    assert summary(found, "hooks.healthcheck") == "slurm.conf sets no HealthCheckProgram"
    assert summary(found, "hooks.prolog") == "Prolog is /site, which does not call `nodeproof hook prolog`"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "prolog"
    file.write_text("#!/bin/sh\n# nodeproof hook epilog\nexec /opt/nodeproof/bin/python -I -m nodeproof hook prolog\n")
    file.chmod(0o755)
    return file


@pytest.mark.skipif(os.geteuid() != 0, reason="pytest's directories are others' to root alone")
def test_a_hook_file_that_is_well(script: Path) -> None:
    (found,) = hook_files([str(script)])

    assert found == HookFile(str(script), "", frozenset({"prolog"}))
    assert hook_files([f"{script.parent}/*"]) == [found]
    script.write_text("#!/bin/sh\nexec /usr/libexec/nodeproof/slurm/prolog\n")
    assert hook_files([str(script)]) == [found]
    assert hook_files([f"{script},{script}"]) == [found, found]
    script.write_text("#!/bin/sh\nexec /opt/nodeproof/bin/nodeproof-gate --timeout 40 prolog\n")
    assert hook_files([str(script)]) == [found]
    script.rename(script.with_name("nodeproof-gate"))
    script.symlink_to("nodeproof-gate")
    assert hook_files([str(script)]) == [found]


def test_a_hook_file_that_slurmd_cannot_run_or_others_can_write(script: Path) -> None:
    script.chmod(0o775)
    assert "can be exchanged by others" in hook_files([str(script)])[0].problem
    script.chmod(0o644)
    assert "is not executable" in hook_files([str(script)])[0].problem
    assert "is not there" in hook_files([f"{script}.none"])[0].problem
    assert "is no regular file" in hook_files([str(script.parent)])[0].problem
    assert "is no absolute path" in hook_files(["prolog"])[0].problem


def test_a_hook_in_a_directory_that_others_can_write_is_not_safe(script: Path) -> None:
    script.parent.chmod(0o777)

    assert f"can be exchanged by others: {script.parent} has mode 0777" in hook_files([str(script)])[0].problem


# What slurmrestd says


@pytest.mark.parametrize(
    ("case", "release", "up"),
    [("v0.0.42-ping", "24.11.5", ("mini-slurm",)), ("v0.0.42-ctld-down-ping", "24.11.5", ())],
)
def test_a_ping_tells_release_and_controllers(case: str, release: str, up: tuple[str, ...]) -> None:
    ping = ping_of(said(case).body)

    assert (ping.release, ping.up) == (release, up)
    assert len(ping.up) + len(ping.down) == 1


def test_a_ping_of_slurm_22_05_is_understood() -> None:
    old = {"meta": {"Slurm": {"release": "22.05.8"}}, "pings": [{"hostname": "c", "ping": "UP"}]}

    assert ping_of(old) == ("22.05.8", ("c",), ())


@pytest.mark.parametrize("body", [None, "Authentication failure", {}, {"meta": {}}, {"meta": {"slurm": 1}, "pings": 1}])
def test_what_is_no_ping_is_said_to_be_none(body: Any) -> None:
    with pytest.raises(ValueError, match="ping"):
        ping_of(body)
    assert server_time_of(body) is None


def test_slurmctlds_clock_is_in_its_statistics() -> None:
    assert server_time_of({"statistics": {"req_time": {"set": True, "number": 1795436588}}}) == 1795436588
    assert server_time_of({"statistics": {"req_time": 1795436588}}) == 1795436588


# The way there


def way(url: str, token_file: str = "") -> dict[str, str]:
    return statuses(network_findings(SlurmSettings(url=url, token_file=token_file)))


def test_the_way_ends_where_it_is_broken(tmp_path: Path) -> None:
    assert way("http://name.invalid:6820")["slurm.name"] == "fail"
    assert way("http://name.invalid:6820")["slurm.connect"] == "skip"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert way(f"http://127.0.0.1:{port}") == {
        "slurm.url": "ok",
        "slurm.name": "ok",
        "slurm.connect": "fail",
        "slurm.tls": "skip",
    }
    assert way(f"unix:{tmp_path}/none")["slurm.connect"] == "fail"
    assert way("http://slurm.example.org:6820", token_file="/t")["slurm.url"] == "fail"


def test_whoever_listens_on_a_socket_is_known(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        assert way(f"unix:{tmp_path}/s") == {"slurm.url": "ok", "slurm.connect": "ok"}
        assert server_uid(str(tmp_path / "s")) == os.geteuid()


def tls(tmp_path: Path, authority: trustme.CA, certificate: trustme.LeafCert) -> list[Finding]:
    """Go to a server with this certificate, believing in this authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(tls=context) as server:
        return list(network_findings(SlurmSettings(url=server.url, ca_file=str(tmp_path / "ca.pem"))))


def test_a_certificate_must_be_of_an_authority_that_policy_names_and_last(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)

    well = tls(tmp_path, ours, ours.issue_cert("127.0.0.1"))
    assert set(statuses(well).values()) == {"ok"}
    assert "TLSv1.3, its certificate is good for" in summary(well, "slurm.tls")
    assert "unable to get local issuer" in summary(tls(tmp_path, theirs, ours.issue_cert("127.0.0.1")), "slurm.tls")
    other = summary(tls(tmp_path, ours, ours.issue_cert("slurm.example")), "slurm.tls")
    assert "IP address mismatch" in other
    ending = tls(tmp_path, ours, ours.issue_cert("127.0.0.1", not_after=soon))
    assert (statuses(ending)["slurm.tls"], summary(ending, "slurm.tls")) == ("warn", "its certificate ends in 3 days")


def _hang_up(server: socket.socket) -> None:
    server.accept()[0].close()


def test_a_server_without_tls_is_no_tls_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_hang_up, args=(server,))
        thread.start()
        found = list(network_findings(SlurmSettings(url=f"https://127.0.0.1:{server.getsockname()[1]}")))
        thread.join()

    assert statuses(found)["slurm.tls"] == "fail"
    assert "no TLS handshake" in summary(found, "slurm.tls")

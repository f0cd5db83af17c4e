"""Which node it is, plans that are kept, and policies that are broken."""

import json
import os
import subprocess  # to see what a fresh interpreter imports
import sys
from pathlib import Path

import pytest

from nodeproof.errors import PolicyError, PolicyErrors
from nodeproof.policy import cache as plans
from nodeproof.policy.resolve import check_policy, load_settings
from nodeproof.probes.identity import Identity
from planted_policy import NODE, SPECS, Write, errors_of, settings_of
from support import plant

# Identity


def test_identity_is_read_from_proc_and_sys(tmp_path: Path) -> None:
    files = {
        "/proc/sys/kernel/hostname": "gpu007\n",
        "/sys/class/dmi/id/product_name": "HPC-9000\n",
        "/proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n",
        "/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   1\n",
        "/proc/driver/nvidia/gpus/0000:02:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   2\n",
    }

    assert Identity.read(plant(tmp_path, files)) == Identity(
        "gpu007", "HPC-9000", "AMD EPYC", ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    )


def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    files = {"/proc/sys/kernel/hostname": "n1", "/sys/class/dmi/id/product_name": "To Be Filled By O.E.M.\n"}

    assert Identity.read(plant(tmp_path / "a", files)) == Identity("n1")
    assert Identity.read(plant(tmp_path / "b", {"/proc/cpuinfo": ""})) == Identity("")


def test_a_gpu_that_cannot_be_read_is_kept_as_unread(tmp_path: Path) -> None:
    gpu = "/proc/driver/nvidia/gpus/0000:01:00.0/information"
    files = {"/proc/sys/kernel/hostname": "n1", gpu: "Model: \t H100\n", gpu.replace("01:", "02:"): "Model: H100\n"}

    identity = Identity.read(plant(tmp_path, files, errors={gpu: ("timed_out", "")}))

    assert identity.gpu_models == ("H100",)
    assert [(e.source, e.kind) for e in identity.unread] == [(gpu, "timed_out")]


# Compiled plans


def test_a_cached_plan_needs_neither_pydantic_nor_a_toml_parser(policy: Write, kept: str) -> None:
    directory = policy('mode = "enforce"\n[[class]]\nname = "x"\nmatch.hosts = "gpu[001-128]"\nclaims.gpu = 8\n')
    code = f"""
import sys
from nodeproof.check import registry
from nodeproof.policy.resolve import load_settings
from nodeproof.probes.identity import Identity
settings, warnings = load_settings({directory!r}, Identity("gpu007"), registry(), cache={kept!r})
assert settings.of("gpu.count").parameters == {{"claimed": 8}} and settings.mode == "enforce" and not warnings
print([m for m in ("pydantic", "tomllib", "ClusterShell", "difflib", "subprocess") if m in sys.modules])
"""
    answers = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "12"
    ]

    assert "pydantic" in answers[0]
    assert answers[1] == "[]\n"


def test_a_changed_file_or_another_node_is_compiled_anew(policy: Write, kept: str) -> None:
    directory = policy('budget_s = 10\n[[class]]\nname = "x"\nmatch.hosts = "a"\n')
    assert settings_of(directory, Identity("a"), kept).classes == ("x",)
    assert settings_of(directory, Identity("b"), kept).classes == ()

    directory = policy('budget_s = 20\n[[class]]\nname = "y"\nmatch.hosts = "a"\n')
    assert settings_of(directory, Identity("a"), kept) == settings_of(directory, Identity("a"))

    policy(**{"20-more": "budget_s = 5"})
    assert settings_of(directory, Identity("a"), kept).budget_s == 5


def test_other_checks_are_another_plan(policy: Write, kept: str) -> None:
    directory = policy("[check.cpu.governor]\nafter = 2\n")
    settings_of(directory, cache=kept)

    with pytest.raises(PolicyErrors, match="unknown check"):
        load_settings(directory, NODE, {"gpu.count": SPECS["gpu.count"]}, cache="")


def plan_file(kept: str) -> Path:
    (file,) = Path(kept).iterdir()
    return file


def test_a_plan_is_private(policy: Write, kept: str) -> None:
    settings_of(policy("budget_s = 10"), cache=kept)

    assert oct(os.stat(kept).st_mode & 0o777) == "0o700"
    assert oct(plan_file(kept).stat().st_mode & 0o777) == "0o600"


def poison(file: Path) -> None:
    """Write a plan that would pass for current, but says something else."""
    import zlib

    first, second = file.read_text().split("\n")
    second = second.replace("10.0", "77.0")
    file.write_text(json.dumps(json.loads(first) | {"crc32": zlib.crc32(second.encode())}) + "\n" + second)


def test_a_plan_of_ours_is_believed(policy: Write, kept: str) -> None:
    directory = policy("budget_s = 10")
    settings_of(directory, cache=kept)
    poison(plan_file(kept))

    assert settings_of(directory, cache=kept).budget_s == 77


@pytest.mark.parametrize("how", ["writable", "directory", "link", "foreign", "torn", "empty", "not JSON", "pipe"])
def test_a_plan_that_is_not_surely_ours_is_ignored(policy: Write, kept: str, tmp_path: Path, how: str) -> None:
    directory = policy("budget_s = 10")
    settings_of(directory, cache=kept)
    file = plan_file(kept)
    poison(file)
    match how:
        case "writable":
            file.chmod(0o622)
        case "directory":
            Path(kept).chmod(0o777)
        case "link":
            file.symlink_to(file.rename(tmp_path / "elsewhere"))
        case "foreign" if os.geteuid() == 0:
            os.chown(file, 65534, 65534)
        case "foreign":
            pytest.skip("only root can give a file away")
        case "torn":
            file.write_bytes(file.read_bytes()[:-10])
        case "empty":
            file.write_bytes(b"")
        case "not JSON":
            file.write_bytes(b"\xff[[[")
        case "pipe":
            file.unlink()
            os.mkfifo(file)

    assert settings_of(directory, cache=kept).budget_s == 10


def test_a_cache_that_cannot_be_written_costs_nothing_else(policy: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert settings_of(policy("budget_s = 10"), cache=str(tmp_path / "file" / "cache")).budget_s == 10


def test_plans_of_directories_that_are_gone_are_forgotten(policy: Write, kept: str, tmp_path: Path) -> None:
    directory = Path(policy("budget_s = 10"))
    settings_of(str(directory), cache=kept)
    directory = directory.rename(tmp_path / "moved")

    settings_of(str(directory), cache=kept)

    assert str(directory) in plan_file(kept).read_text()


def test_plans_are_kept_where_the_system_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/op/.cache2")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert plans.default_directory() == "/home/op/.cache2/nodeproof"

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert plans.default_directory() == "/var/cache/nodeproof"


# A broken policy


def test_a_broken_policy_keeps_the_last_good_one_and_says_so(policy: Write, kept: str) -> None:
    directory = policy('mode = "enforce"\n[claims]\ngpu = 8\n')
    good = settings_of(directory, cache=kept)
    policy('mode = "enforce"\n[claims]\ngup = 8\n')

    for _ in "12":
        settings, warnings = load_settings(directory, NODE, SPECS, cache=kept)
        assert settings == good
        assert warnings == [
            f'{directory}/10-site.toml:3: claims.gup: unknown claim, did you mean "gpu"?; the last good policy stays'
        ]
    with pytest.raises(PolicyErrors):
        check_policy(directory, SPECS)


def test_a_broken_policy_without_a_last_good_one_is_an_error(policy: Write, kept: str) -> None:
    directory = policy("[claims]\ngup = 8\n")

    with pytest.raises(PolicyError, match="did you mean"):
        load_settings(directory, NODE, SPECS, cache=kept)


def test_the_last_good_policy_may_be_older_than_the_checks(policy: Write, kept: str) -> None:
    directory = policy(
        "[claims]\ngpu = 8\n[check.cpu.governor]\nafter = 2\nrequired = 'x'\n[check.nic.flaps]\nafter = 5\n"
    )
    settings_of(directory, cache=kept)
    policy("oops")
    spec = SPECS["cpu.governor"]
    newer = {"cpu.governor": spec._replace(parameters={}), "gpu.count": SPECS["gpu.count"]}

    settings, _ = load_settings(directory, NODE, newer, cache=kept)

    assert settings.of("cpu.governor").after == 2
    assert settings.of("cpu.governor").parameters == {}
    assert sorted(settings.checks) == ["cpu.governor", "gpu.count"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_policy_that_others_could_have_written_is_refused(policy: Write) -> None:
    directory = policy(**{"10-a": "", "20-b": "", "30-c": ""})
    os.chown(f"{directory}/10-a.toml", 65534, 65534)
    os.chmod(f"{directory}/30-c.toml", 0o666)
    assert [line.split(",")[0] for line in errors_of(directory)] == [
        "10-a.toml: owner: expected uid 0",
        "30-c.toml: mode: expected writable by its owner alone",
    ]

    os.chmod(directory, 0o777)
    with pytest.raises(PolicyError, match="mode: expected writable by its owner alone"):
        settings_of(directory)

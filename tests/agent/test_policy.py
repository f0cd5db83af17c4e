"""Policy from files to settings: what may be said, who it is for, what wins, and where it came from."""

import json
import os
import subprocess  # to see what a fresh interpreter imports
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from nodeproof.check import registry
from nodeproof.cli.policy import command
from nodeproof.errors import FactError, PolicyError, PolicyErrors
from nodeproof.host import open_host
from nodeproof.policy import cache as plans
from nodeproof.policy.model import policy_schema
from nodeproof.policy.resolve import check_policy, load_settings, parse_override, with_overrides
from nodeproof.policy.settings import CheckSettings, Settings
from nodeproof.probes.identity import Identity
from support import plant

SPECS = registry()
NODE = Identity("gpu007.cluster", "HPC-9000 G2", "AMD EPYC 9654", ("NVIDIA H100", "NVIDIA H100"))

Write = Callable[..., str]


@pytest.fixture
def policy(tmp_path: Path) -> Write:
    """Write policy files: `policy(text)` or `policy(**{"10-site": text, "20-gpu": text})`. Returns the directory."""

    def write(text: str | None = None, **files: str) -> str:
        directory = tmp_path / "policy.d"
        directory.mkdir(mode=0o755, exist_ok=True)
        for name, content in files.items() if text is None else [("10-site", text)]:
            (directory / f"{name}.toml").write_text(content)
            (directory / f"{name}.toml").chmod(0o644)
        return str(directory)

    return write


@pytest.fixture
def kept(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def settings_of(directory: str | None, node: Identity = NODE, cache: str = "") -> Settings:
    settings, warnings = load_settings(directory, node, SPECS, cache=cache)
    assert warnings == []
    return settings


def errors_of(directory: str) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        check_policy(directory, SPECS)
    return [line.removeprefix(f"{directory}/") for line in str(caught.value).split("\n")]


# What a file may say


def test_a_misspelt_key_is_one_line_with_file_line_key_and_the_right_name(policy: Write) -> None:
    directory = policy('mode = "enforce"\n\n[check.cpu.governor]\nafter = 2\nrequierd = "performance"\n')

    assert errors_of(directory) == [
        '10-site.toml:5: check.cpu.governor.requierd: unknown key, did you mean "required"?'
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('mod = "enforce"', '1: mod: unknown key, did you mean "mode"?'),
        ("[check.cpu.govenor]\nafter = 2", '1: check.cpu.govenor: unknown check, did you mean "cpu.governor"?'),
        ("[check.cup]", '1: check.cup: unknown check, did you mean "cpu"?'),
        ('[check."cpu.governor"]', '1: check."cpu.governor": unknown subject, write it as [check.cpu.governor]'),
        ("[claims]\ngup = 8", '2: claims.gup: unknown claim, did you mean "gpu"?'),
        ("[check.gpu.count]\nclaimed = 8", "2: check.gpu.count.claimed: unknown key, write it as claims.gpu"),
        (
            '[[class]]\nname = "a"\nmatch = { prodct = "x" }',
            '3: class.match.prodct: unknown key, did you mean "product"?',
        ),
        ("[[class]]\nclaims.gpu = 8", "1: class.name: missing, expected str (name of the class, for reports)"),
        (
            "[claims]\ngpu = true",
            "2: claims.gpu: expected int of at least 0 (GPUs that this node must have), found true",
        ),
        (
            "[check.cpu.governor]\nrequired = 5",
            "2: check.cpu.governor.required: expected str (governor that every CPU must use), found 5",
        ),
        (
            "[check.cpu.governor]\nafter = 0",
            "2: check.cpu.governor.after: expected int of at least 1 (consecutive failures before a failure counts)",
        ),
        ("check.cpu = 5", "1: check.cpu: expected table (checks of cpu), found 5"),
        (
            'budget_s = "long"',
            "1: budget_s: expected float above 0 and at most 3600 (seconds that a whole pass",
        ),
        (
            "budget_s = nan",
            "1: budget_s: expected float above 0 and at most 3600 (seconds that a whole pass",
        ),
        (
            "budget_s = 1979-05-27",
            "1: budget_s: expected float above 0 and at most 3600 (seconds that a whole pass",
        ),
        ("class = 1", "1: class: expected list of tables (classes of nodes), found 1"),
        ("mode = [", "1: not TOML: Invalid value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(policy: Write, text: str, expected: str) -> None:
    (line,) = errors_of(policy(text))

    assert line.startswith(f"10-site.toml:{expected}")


def test_a_wrong_item_of_a_list_is_named_with_its_own_line(policy: Write) -> None:
    (line,) = errors_of(policy('[check.kernel.version]\nallowed = [\n  "6.1",\n  6,\n]'))

    assert line.startswith("10-site.toml:4: check.kernel.version.allowed[1]: expected list of str (")
    assert line.endswith("), found 6")


@pytest.mark.parametrize("hosts", ["gpu[1-", "@gpu", "gpu*", "gpu[001-128],!gpu[007]", "gpu1 gpu2", "", "a!a"])
def test_what_is_no_host_set_is_an_error(policy: Write, hosts: str) -> None:
    (line,) = errors_of(policy(f'[[class]]\nname = "x"\n[class.match]\nhosts = "{hosts}"'))

    assert line.startswith("10-site.toml:4: class.match.hosts: expected host names such as")


def test_all_errors_of_all_files_are_reported_in_order(policy: Write) -> None:
    directory = policy(**{"20-b": "x = 1", "10-a": "b = 1\na = 1", "15-c": "= 1"})

    assert [line.split(": ")[0] for line in errors_of(directory)] == [
        "10-a.toml:1",
        "10-a.toml:2",
        "15-c.toml:1",
        "20-b.toml:1",
    ]


def test_a_file_that_is_not_utf8_names_its_line(policy: Write) -> None:
    directory = policy("")
    Path(directory, "10-site.toml").write_bytes(b'mode = "observe"\n# caf\xe9\n')

    assert errors_of(directory) == ["10-site.toml:2: expected UTF-8"]


def test_whole_numbers_do_for_floats_and_lists_become_tuples(policy: Write) -> None:
    settings = settings_of(policy('budget_s = 20\n[check.kernel.version]\nallowed = ["6.1"]\n'))

    assert (settings.budget_s, type(settings.budget_s)) == (20.0, float)
    assert settings.of("kernel.version").parameters == {"allowed": ("6.1",)}


# Who it is for, and what wins


def test_no_policy_is_the_built_in_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nodeproof.policy.resolve.DEFAULT_DIRECTORY", str(tmp_path / "none"))

    assert settings_of(None) == Settings()
    with pytest.raises(PolicyError, match="no such directory"):
        settings_of(str(tmp_path / "none"))


def test_other_files_in_the_directory_are_no_policy(policy: Write) -> None:
    directory = policy(**{"10-site": "budget_s = 9"})
    Path(directory, "README").write_text("not toml")
    Path(directory, ".#10-site.toml").write_text("not toml")

    assert settings_of(directory).budget_s == 9


@pytest.mark.parametrize(
    ("match", "is_matched"),
    [
        ("", True),
        ('hosts = "gpu[001-128]"', True),
        ('hosts = "gpu[001-128]!gpu007"', False),
        ('hosts = "gpu007.cluster"', True),
        ('hosts = "gpu7"', False),
        ('product = "HPC-9000*"', True),
        ('product = "HPC-9000"', False),
        ('cpu_model = "*EPYC*"', True),
        ('gpu_model = "*H100*"', True),
        ('gpu_model = "*A100*"', False),
        ('hosts = "gpu[001-128]"\nproduct = "HPC-9000*"\ngpu_model = "*H100*"', True),
        ('hosts = "gpu[001-128]"\nproduct = "Other*"', False),
    ],
)
def test_a_class_matches_when_all_its_keys_do(policy: Write, match: str, *, is_matched: bool) -> None:
    settings = settings_of(policy(f'[[class]]\nname = "x"\n[class.match]\n{match}\n[class.claims]\ngpu = 8\n'))

    assert settings.classes == (("x",) if is_matched else ())
    assert settings.of("gpu.count").parameters == ({"claimed": 8} if is_matched else {})


def test_what_is_not_known_of_a_node_matches_nothing(policy: Write) -> None:
    directory = policy('[[class]]\nname = "x"\nmatch.product = "*"\n')
    unread = FactError("/sys/class/dmi/id/product_name", "denied")

    settings, _ = load_settings(directory, Identity("n1", unread=(unread,)), SPECS, cache="")

    assert settings.classes == ()
    assert settings.doubts == (str(unread),)


def test_a_node_without_a_name_may_be_in_any_host_set(policy: Write) -> None:
    by_host = policy('[[class]]\nname = "x"\nmatch.hosts = "n[1-3]"\n')

    assert load_settings(by_host, Identity(""), SPECS, cache="")[0].doubts == ("the host name is not known",)
    assert load_settings(by_host, Identity("n9"), SPECS, cache="")[0].doubts == ()


def test_later_wins_and_every_value_knows_where_it_came_from(policy: Write) -> None:
    directory = policy(
        **{
            "10-site": """
mode = "observe"
[check.cpu.governor]
required = "schedutil"
after = 2
[claims]
numa = 1
[[class]]
name = "h100"
mode = "enforce"
[class.match]
gpu_model = "*H100*"
[class.claims]
gpu = 4
numa = 2
[class.check.cpu.governor]
required = "performance"
[[class]]
name = "odd ones"
match.hosts = "gpu[007-008]"
claims.gpu = 7
""",
            "20-late": "[check.cpu.governor]\nafter = 3\n[slurm]\nurl = 'http://127.0.0.1:6820'\n",
        }
    )

    settings = settings_of(directory)

    assert settings.mode == "enforce"
    assert settings.classes == ("h100", "odd ones")
    assert settings.of("gpu.count") == CheckSettings(
        {"claimed": 7}, origin={"parameters.claimed": f"{directory}/10-site.toml:21"}
    )
    assert settings.of("numa.nodes").origin == {"parameters.claimed": f"{directory}/10-site.toml:15"}
    assert settings.of("cpu.governor") == CheckSettings(
        {"required": "performance"},
        after=3,
        origin={"parameters.required": f"{directory}/10-site.toml:17", "after": f"{directory}/20-late.toml:2"},
    )
    assert settings.slurm.url == "http://127.0.0.1:6820"
    assert settings.origin == {
        "mode": f"{directory}/10-site.toml:10",
        "slurm.url": f"{directory}/20-late.toml:4",
    }


def test_a_host_is_asked_only_for_what_the_classes_match_on(policy: Write, tmp_path: Path) -> None:
    host = plant(
        tmp_path / "host",
        {"/proc/sys/kernel/hostname": "n1\n", "/sys/class/dmi/id/product_name": "HPC-9000\n"},
        errors={"/proc/cpuinfo": ("denied", "EACCES")},
    )
    by_host = policy('[[class]]\nname = "x"\nmatch.hosts = "n[1-3]"\n')
    assert load_settings(by_host, host, SPECS, cache="")[0].classes == ("x",)

    by_product = policy('[[class]]\nname = "y"\nmatch.product = "HPC*"\n')
    settings, _ = load_settings(by_product, host, SPECS, cache="")

    assert settings.classes == ("y",)
    assert settings.doubts == ()
    by_cpu = policy('[[class]]\nname = "z"\nmatch.cpu_model = "*"\n')
    assert load_settings(by_cpu, host, SPECS, cache="")[0].doubts == ("/proc/cpuinfo: denied (EACCES)",)


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


# Overrides


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu.governor.required=performance", ("cpu.governor", "required", "performance")),
        ("cpu.governor.required='a=b'", ("cpu.governor", "required", "a=b")),
        ("cpu.governor.required=2.7", ("cpu.governor", "required", "2.7")),
        ("cpu.governor.after=2", ("cpu.governor", "after", 2)),
        ("gpu.count.claimed=8", ("gpu.count", "claimed", 8)),
        ('kernel.version.allowed=["6.1", "6.2"]', ("kernel.version", "allowed", ["6.1", "6.2"])),
        ("fs.space.max_used_percent=90", ("fs.space", "max_used_percent", 90.0)),
    ],
)
def test_an_override_is_toml_or_plain_text(text: str, expected: tuple[str, str, object]) -> None:
    assert parse_override(text, SPECS) == expected


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("cpu.governor.requierd=x", "cpu.governor.requierd", 'unknown key, did you mean "required"?'),
        ("cpu.govenor.required=x", "cpu.govenor.required", 'unknown check, did you mean "cpu.governor"?'),
        (
            "gpu.count.claimed=eight",
            "gpu.count.claimed",
            'expected int of at least 0 (GPUs that this node must have), found "eight"',
        ),
        ("governor", "governor", "expected CHECK.PARAMETER=VALUE, e.g. cpu.governor.required=performance"),
    ],
)
def test_a_wrong_override_says_what_was_expected(text: str, key: str, expected: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_override(text, SPECS)

    assert (caught.value.file, caught.value.key, caught.value.expected) == ("-p", key, expected)


def test_overrides_stand_over_the_files(policy: Write) -> None:
    settings = settings_of(policy("[check.cpu.governor]\nafter = 2\n"))
    texts = ["cpu.governor.required=x", "cpu.governor.clear_after=9", "kernel.version.allowed=['6']"]

    settings = with_overrides(settings, [parse_override(text, SPECS) for text in texts])

    governor = settings.of("cpu.governor")
    assert (governor.parameters, governor.after, governor.clear_after) == ({"required": "x"}, 2, 9)
    assert governor.origin["parameters.required"] == governor.origin["clear_after"] == "-p"
    assert settings.of("kernel.version").parameters == {"allowed": ("6",)}


# The command line


def nodeproof_policy(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_policy_check_exits_2_with_one_line_a_mistake(policy: Write) -> None:
    directory = policy("[claims]\ngup = 8\nxyz = 8\n")

    result = nodeproof_policy("check", directory)

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert result.stderr.startswith(f"{directory}/10-site.toml:2: claims.gup: unknown claim")
    assert result.stdout == ""


def test_policy_check_says_what_it_checked(policy: Write) -> None:
    directory = policy(**{"1": "[[class]]\nname = 'a'\n[[class]]\nname = 'b'", "2": ""})

    result = nodeproof_policy("check", directory)

    assert (result.exit_code, result.output) == (0, f"{directory}: good: 2 files, 2 classes\n")
    assert nodeproof_policy("check", directory + "x").exit_code == 2


@pytest.fixture
def recording(tmp_path: Path) -> str:
    plant(tmp_path / "gpu007", {"/proc/sys/kernel/hostname": "gpu007\n"})
    return str(tmp_path / "gpu007")


SHOWN = """
budget_s = 20
[claims]
gpu = 8
[[class]]
name = "x"
match.hosts = "gpu007"
check.cpu.governor = { required = "schedutil", after = 2 }
"""


def test_policy_show_prints_a_policy_with_origins(policy: Write, recording: str, tmp_path: Path) -> None:
    directory = policy(SHOWN)

    result = nodeproof_policy("show", "--policy", directory, "--root", recording)

    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if "#" in line]
    origins = {line.split(" = ")[0]: line.rpartition("  # ")[2] for line in lines if " = " in line}
    assert origins["budget_s"] == f"{directory}/10-site.toml:2"
    assert origins["gpu"] == f"{directory}/10-site.toml:4"
    assert origins["deadline_s"] == "default"
    assert "# Classes: x\n" in result.output
    (tmp_path / "shown").mkdir(mode=0o755)
    (tmp_path / "shown" / "10.toml").write_text(result.output)
    shown = settings_of(str(tmp_path / "shown"))
    assert shown.of("cpu.governor")[:3] == ({"required": "schedutil"}, "drain", 2)
    assert shown.budget_s == 20


def test_policy_show_as_json_has_every_key_of_every_check(policy: Write, recording: str) -> None:
    directory = policy(SHOWN)

    shown = json.loads(nodeproof_policy("show", "--policy", directory, "--root", recording, "--json").output)

    assert (shown["node"], shown["classes"]) == ("gpu007", ["x"])
    governor = shown["checks"]["cpu.governor"]
    assert governor["parameters"]["required"] == {"value": "schedutil", "origin": f"{directory}/10-site.toml:8"}
    assert governor["on_fail"] == {"value": "drain", "origin": "default"}
    assert sorted(shown["checks"]) == sorted(SPECS)


def test_the_schema_accepts_what_the_model_accepts(policy: Write) -> None:
    schema = json.loads(nodeproof_policy("schema").output)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    assert validator.is_valid(tomllib.loads(SHOWN))
    for wrong in ("budget_s = 0", "bugdet = 1", "[claims]\ngpu = '8'", "[check.cpu.govenor]", "[[class]]"):
        assert not validator.is_valid(tomllib.loads(wrong)), wrong
        assert errors_of(policy(wrong))


def test_the_schema_describes_parameters_and_their_defaults() -> None:
    governor = policy_schema(SPECS)["$defs"]["cpu_governor"]["properties"]

    assert governor["required"] == {
        "default": "performance",
        "description": "governor that every CPU must use",
        "title": "str",
        "type": "string",
    }


def test_a_live_node_has_an_identity() -> None:
    assert Identity.read(open_host("/")).host_name

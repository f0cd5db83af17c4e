"""Policy on the command line: overrides, `policy check`, `show` and `schema`."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from nodeproof.cli.policy import command
from nodeproof.errors import PolicyError
from nodeproof.host import open_host
from nodeproof.policy.model import policy_schema
from nodeproof.policy.resolve import parse_override, with_overrides
from nodeproof.probes.identity import Identity
from planted_policy import SPECS, Write, errors_of, settings_of
from support import plant

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

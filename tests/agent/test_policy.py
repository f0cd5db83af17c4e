"""Policy files: what may be said, who it is for, what wins, and where it came from."""

from pathlib import Path

import pytest

from nodeproof.errors import FactError, PolicyError
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import CheckSettings, ControllerSettings, GuardSettings, Settings, SlurmSettings
from nodeproof.probes.identity import Identity
from planted_policy import SPECS, Write, errors_of, settings_of
from support import plant

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
        ("[guard]\nshar = 0.1", '2: guard.shar: unknown key, did you mean "share"?'),
        (
            "[guard]\nshare = 5",
            "2: guard.share: expected float of at least 0 and at most 1 (share of all nodes, and of each partition",
        ),
        ("[guard]\nnodes = -1", "2: guard.nodes: expected int of at least 0 and at most 1e+06 (nodes that may be"),
        ('[slurm]\napi_version = "42"', "2: slurm.api_version: expected str (slurmrestd's API version, such as"),
        ('[agent]\nmetrics_file = "/run/metrics"', "2: agent.metrics_file: expected str (file for node_exporter's"),
        ('[slurm]\nmetrics_url = "ctl:6817"', "2: slurm.metrics_url: expected str (slurmctld's own metrics"),
        ('[controller]\nurl = "https://u:p@ctl"', "2: controller.url: expected str (drain controller that writes"),
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


def test_how_slurm_is_reached_and_guarded_has_tables_of_its_own(policy: Write) -> None:
    directory = policy(
        """
[slurm]
url = "https://ctl:6820"
client_certificate_file = "/etc/nodeproof/node.pem"
[guard]
share = 1
drains = 20
[controller]
url = "https://ctl:6890"
batch_s = 1
"""
    )

    settings = settings_of(directory)

    assert settings.slurm == SlurmSettings("https://ctl:6820", client_certificate_file="/etc/nodeproof/node.pem")
    assert settings.guard == GuardSettings(share=1.0, drains=20)
    assert settings.controller == ControllerSettings("https://ctl:6890", batch_s=1.0)
    assert settings.origin["guard.drains"] == f"{directory}/10-site.toml:7"
    assert settings_of(policy("")).guard == GuardSettings(0.05, 2, 10, 600.0, 5)


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

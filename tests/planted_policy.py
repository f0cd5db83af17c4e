"""What the policy tests share: the checks, a node, and how to get settings or errors out of a directory."""

from collections.abc import Callable

import pytest

from nodeproof.check import registry
from nodeproof.errors import PolicyErrors
from nodeproof.policy.resolve import check_policy, load_settings
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import Identity

SPECS = registry()
NODE = Identity("gpu007.cluster", "HPC-9000 G2", "AMD EPYC 9654", ("NVIDIA H100", "NVIDIA H100"))

Write = Callable[..., str]


def settings_of(directory: str | None, node: Identity = NODE, cache: str = "") -> Settings:
    settings, warnings = load_settings(directory, node, SPECS, cache=cache)
    assert warnings == []
    return settings


def errors_of(directory: str) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        check_policy(directory, SPECS)
    return [line.removeprefix(f"{directory}/") for line in str(caught.value).split("\n")]

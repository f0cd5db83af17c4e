"""All of the wiring, in the order in which one part stands on another."""

import os
from collections.abc import Iterator

from nodeproof.doctor.controller import controller_findings
from nodeproof.doctor.finding import Finding, not_asked
from nodeproof.doctor.hooks import hook_findings
from nodeproof.doctor.local import policy_findings, state_finding, token_file_findings
from nodeproof.doctor.network import network_findings
from nodeproof.doctor.rest import rest_findings
from nodeproof.engine.identity import read_identity
from nodeproof.errors import PolicyError
from nodeproof.host import open_host
from nodeproof.policy.known import known_checks
from nodeproof.policy.resolve import load_settings
from nodeproof.policy.settings import Settings
from nodeproof.probes.identity import host_name
from nodeproof.verdict import fail


def examine(
    policy_directory: str | None, state_dir: str | None, node_name: str | None, *, is_read_only: bool
) -> Iterator[Finding]:
    """Yield what is found. `node_name` is this node's name in Slurm where neither policy nor the host name say it."""
    try:
        with open_host("/") as host:
            settings, warnings = load_settings(policy_directory, host, known_checks(), identify=read_identity)
            name = node_name or settings.slurm.node_name or host_name(host).partition(".")[0]
    except PolicyError as error:
        remedy = "Correct it; `nodeproof policy check` lists all that is wrong, with the lines."
        yield Finding("policy.readable", fail(str(error)), remedy)
        yield state_finding(state_dir)
        yield from hook_findings(os.environ, Settings())
        return
    yield from policy_findings(settings, warnings)
    yield state_finding(state_dir)
    yield from hook_findings(os.environ, settings)
    if settings.controller.url:
        yield from controller_findings(settings.controller, name)
    if settings.slurm.url:
        yield from _slurm(settings, name, is_read_only=is_read_only)
    elif not settings.controller.url:
        remedy = "Set slurm.url (and its token) or controller.url in policy: without either, nothing is ever drained."
        yield Finding("slurm.url", fail("policy sets neither slurm.url nor controller.url"), remedy)


def _slurm(settings: Settings, name: str, *, is_read_only: bool) -> Iterator[Finding]:
    """Yield what is found on the way to Slurm: no step is tried that stands on a broken one."""
    rest = "slurm.api slurm.controller slurm.clock slurm.node slurm.privileges guard.budget"
    is_reached = yield from network_findings(settings.slurm)
    is_known = yield from token_file_findings(settings.slurm)
    if is_reached and is_known:
        yield from rest_findings(settings, name, is_read_only=is_read_only)
    else:
        yield from not_asked(rest, "slurmrestd cannot be asked")

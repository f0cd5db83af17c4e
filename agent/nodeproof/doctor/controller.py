"""The drain controller, where this node has one: it is asked what it thinks of this node, which changes nothing."""

import time

from nodeproof.controller.client import read_credential, send
from nodeproof.doctor.finding import Finding, Findings, not_asked
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import ControllerSettings
from nodeproof.slurm.outcome import Denied, Unsure
from nodeproof.slurm.wish import Wish
from nodeproof.verdict import fail, ok

#: How long the controller may take to answer, in seconds: it may have to wait for Slurm.
LIMIT_S = 20.0


def controller_findings(settings: ControllerSettings, node_name: str) -> Findings:
    """Judge the credential, and ask the controller about this node."""
    remedy = f"On the controller `nodeproof controller credential {node_name}`, into the file here, `chmod 0600`."
    try:
        read_credential(settings.credential_file)
    except PolicyError as error:
        yield Finding("controller.credential", fail(f"{error.file}: {error.expected}"), remedy)
        return (yield from not_asked("controller.answer", "there is no credential"))
    try:
        outcome = send(Wish(node_name, "look", decided_at=int(time.time())), settings, LIMIT_S)
    except PolicyError as error:
        key = "controller.credential" if error.key == "controller.credential_file" else "controller.url"
        yield Finding(key, fail(f"{error.file}: {error.expected}"), remedy)
        return (yield from not_asked("controller.answer", "it does not take our request"))
    yield Finding("controller.credential", ok(f"the controller knows us as {node_name}"))
    if isinstance(outcome, Unsure | Denied):
        remedy = (
            "Is `nodeproof controller` running at controller.url, and does `nodeproof slurm doctor` say well there?"
        )
        yield Finding("controller.answer", fail(outcome.words), remedy)
        return False
    state = "+".join([outcome.node.base_state, *sorted(outcome.node.flags)])
    yield Finding("controller.answer", ok(f"the controller answers: {node_name} is {state}"))
    return True

"""What can be looked at without a network: policy, the token's file, the state directory."""

import errno
import os
import time
from collections.abc import Iterator

from nodeproof.doctor.finding import Finding, Findings, not_asked
from nodeproof.doctor.web_token import claims_of, token_findings
from nodeproof.errors import PolicyError
from nodeproof.policy.settings import Settings, SlurmSettings
from nodeproof.slurm.token import read_token
from nodeproof.state import Store
from nodeproof.verdict import Verdict, fail, named, ok, unknown, warn


def policy_findings(settings: Settings, warnings: list[str]) -> Iterator[Finding]:
    """Say what of policy is wrong, and what it lets us do."""
    remedy = "Correct the lines (`nodeproof policy check` lists all); until then the last good policy is used."
    if warnings:
        yield Finding("policy.readable", fail(named(warnings, 2)), remedy)
    else:
        yield Finding("policy.readable", ok("policy is read"))
    if settings.doubts:
        remedy = "Nothing is drained until it is known by which class's policy: see the policy's [class.match]."
        yield Finding("policy.class", unknown(f"which classes this node is in: {named(settings.doubts)}"), remedy)
    yield Finding("policy.mode", _mode(settings), 'Set mode = "enforce" when you like what it says it would do.')


def _mode(settings: Settings) -> Verdict:
    if settings.mode == "enforce":
        return ok("enforce: drains are made")
    return warn("observe: nodeproof says what it would do, and drains nothing")


def token_file_findings(settings: SlurmSettings) -> Findings:
    """Judge the token's file and what is in it. Returns whether there is a token, or none is needed."""
    if not settings.token_file:
        if settings.url.startswith("unix:"):
            yield Finding("token.file", ok("no token: slurmrestd knows us by the socket (rest_auth/local)"))
            return True
        remedy = "Set slurm.token_file: over TCP slurmrestd takes nothing but tokens."
        yield Finding("token.file", fail("policy sets no slurm.token_file"), remedy)
        return (yield from not_asked("token.user token.expiry", "there is no token"))
    remedy = f"`scontrol token username={settings.user_name} lifespan=…` into the file, `chown root`, `chmod 0600`."
    try:
        token = read_token(settings.token_file)
    except PolicyError as error:
        yield Finding("token.file", fail(f"{error.file}: {error.expected}"), remedy)
        return (yield from not_asked("token.user token.expiry", "the token cannot be used"))
    try:
        claims = claims_of(token)
    except ValueError as error:
        yield Finding("token.file", fail(f"{settings.token_file}: no JSON web token: {error}"), remedy)
        return (yield from not_asked("token.user token.expiry", "the token cannot be used"))
    yield Finding("token.file", ok(f"{settings.token_file} holds a token, and nobody else may read it"))
    yield from token_findings(claims, settings.user_name, time.time())
    return True


def state_finding(state_dir: str | None) -> Finding:
    """Say whether what must outlive a pass can be kept: without it nothing is resumed."""
    store = Store(state_dir or "")
    with store.locked() as is_ours:
        if is_ours:
            store.load()
    remedy = f"`install -d -m 0700 {store.directory}`, on a disk that outlives a reboot, and that root can write."
    problem = "; ".join(store.warnings) or _unwritable(store.directory)
    if problem:
        return Finding("state.directory", fail(problem), remedy)
    return Finding("state.directory", ok(f"{store.directory} can be used"))


def _unwritable(directory: str) -> str:
    """Return why nothing can be written there; tried with a file that has no name."""
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        has_none = error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}  # no such files on this file system
        return "" if has_none else f"cannot write in {directory}: {error.strerror}"
    try:
        os.write(descriptor, b"\0" * 4096)
        os.fsync(descriptor)
    except OSError as error:
        return f"cannot write in {directory}: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""

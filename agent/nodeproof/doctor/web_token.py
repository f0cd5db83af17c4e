"""What a JSON web token says of itself. Its signature is slurmctld's business: nothing here needs the key. Pure."""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from nodeproof.doctor.finding import Finding
from nodeproof.verdict import Verdict, fail, harmless, ok, unknown, warn

#: A token that ends sooner than this is told of, in seconds: a pass must not be the one that finds out.
SOON_S = 3600

#: How far our clock may be behind a token's birth, in seconds.
_MOST_BEHIND_S = 5


class Claims(NamedTuple):
    """Seconds since the epoch; None where the token does not say."""

    user: str | None
    issued_at: int | None
    ends_at: int | None


def claims_of(token: str) -> Claims:
    """Return what a token claims. Raises ValueError if it is no JSON web token."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError(f"three parts with points between them make a token, found {len(parts)}")
    try:
        read = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError) as error:
        raise ValueError("its claims are not JSON in base64url") from error
    if not isinstance(read, dict):
        raise ValueError("its claims are not a JSON object")  # noqa: TRY004  # no type of ours is wrong
    user = read.get("sun", read.get("username"))
    return Claims(user if isinstance(user, str) else None, _time(read, "iat"), _time(read, "exp"))


def _time(read: dict[str, Any], key: str) -> int | None:
    found = read.get(key)
    return int(found) if isinstance(found, int | float) and abs(found) < 1 << 40 else None


def token_findings(claims: Claims, user_name: str, now_s: float) -> Iterator[Finding]:
    """Judge a token's user and times."""
    yield Finding(
        "token.user",
        _user(claims, user_name),
        f"Make a token for {user_name} (`scontrol token username={user_name}`), or set slurm.user_name to the user "
        "that it belongs to.",
    )
    yield Finding(
        "token.expiry",
        _expiry(claims, now_s),
        "Make a new token and replace the file in one step (write another, then rename): running processes read it "
        "again by themselves. A timer that renews it well before its end saves the alarm.",
    )


def _user(claims: Claims, user_name: str) -> Verdict:
    if claims.user is None:
        return unknown("the token names no user (no `sun`)")
    found = harmless(claims.user, 80)
    if claims.user != user_name:
        return fail(f"the token belongs to {found}, expected slurm.user_name {user_name}", user=found)
    return ok(f"the token belongs to {found}", user=found)


def _expiry(claims: Claims, now_s: float) -> Verdict:
    if claims.issued_at is not None and claims.issued_at > now_s + _MOST_BEHIND_S:
        behind_s = claims.issued_at - now_s
        return fail(f"the token was made {_for(behind_s)} from now: this node's clock is behind", behind_s=behind_s)
    if claims.ends_at is None:
        return warn("the token never ends: whoever copies it commands the cluster for good")
    left_s = claims.ends_at - now_s
    if left_s <= 0:
        return fail(f"the token ended {_for(-left_s)} ago", left_s=left_s)
    if left_s < SOON_S:
        return warn(f"the token ends in {_for(left_s)}", left_s=left_s)
    return ok(f"the token ends in {_for(left_s)}", left_s=left_s)


def _for(seconds: float) -> str:
    """Return a time in the largest unit of which there are two at least."""
    for unit, size_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"

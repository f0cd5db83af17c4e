"""What a JSON web token says of itself, and what the doctor makes of it."""

import pytest

from nodeproof.doctor.web_token import Claims, claims_of, token_findings
from web_tokens import web_token

NOW_S = 1_800_000_000


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"sun": "slurm", "iat": 1, "exp": 2.5}, Claims("slurm", 1, 2)),
        ({"username": "jo", "exp": 2}, Claims("jo", None, 2)),
        ({"sun": 7, "iat": "1", "exp": 1 << 50}, Claims(None, None, None)),
        ({}, Claims(None, None, None)),
    ],
)
def test_a_token_says_whose_it_is_and_how_long(claims: object, expected: Claims) -> None:
    assert claims_of(web_token(claims)) == expected


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c.d", "a.%.c", web_token([]), web_token(b"\xff"), web_token(b"[" * 100_000)]
)
def test_what_is_no_token_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"claims|three parts"):
        claims_of(text)


@pytest.mark.parametrize(
    ("claims", "user", "expiry", "words"),
    [
        (Claims("slurm", NOW_S - 10, NOW_S + 86400), "ok", "ok", "ends in 24 hours"),
        (Claims("alice", NOW_S - 10, NOW_S + 86400), "fail", "ok", "ends in"),
        (Claims(None, None, None), "unknown", "warn", "never ends"),
        (Claims("slurm", NOW_S - 99, NOW_S - 30), "ok", "fail", "ended 30 s ago"),
        (Claims("slurm", NOW_S - 99, NOW_S), "ok", "fail", "ended 0 s ago"),
        (Claims("slurm", NOW_S - 10, NOW_S + 1800), "ok", "warn", "ends in 30 minutes"),
        (Claims("slurm", NOW_S + 600, NOW_S + 1800), "ok", "fail", "this node's clock is behind"),
    ],
)
def test_a_token_must_be_ours_and_last(claims: Claims, user: str, expiry: str, words: str) -> None:
    found = list(token_findings(claims, "slurm", NOW_S))

    assert [(f.name, f.verdict.status.word) for f in found] == [("token.user", user), ("token.expiry", expiry)]
    assert words in found[1].verdict.summary

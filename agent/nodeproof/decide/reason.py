"""The reason of a drain: one line that Slurm, sinfo and people can bear."""

from collections.abc import Sequence

from nodeproof.engine import Result

#: slurmdbd keeps a reason in a `tinytext` of 255 bytes; the rest is left to whoever appends to it.
MAX_REASON_BYTES = 200

#: Words in ASCII for what summaries hold. The rest would end a quoted word in a shell script, or a
#: column of `sinfo -o '%N|%E'`.
_PLAIN = str.maketrans({"…": "...", "µ": "u", "°": " "} | dict.fromkeys("\"'`|\\$", "?"))


def reason_of(drain_id: str, results: Sequence[Result]) -> str:
    """Return `nodeproof[id]: check.id: summary (+n more)` for the failures of a drain, worst first.

    Printable ASCII and at most `MAX_REASON_BYTES`; what is too long loses the end of its summary.
    """
    first = results[0]
    more = f" (+{len(results) - 1} more)" if len(results) > 1 else ""
    text = _ascii(f"nodeproof[{drain_id}]: {first.spec.id}: {first.verdict.summary}")
    room = MAX_REASON_BYTES - len(more)
    return (text if len(text) <= room else text[: room - 3].rstrip() + "...") + more


def _ascii(text: str) -> str:
    plain = text.translate(_PLAIN)
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in plain)

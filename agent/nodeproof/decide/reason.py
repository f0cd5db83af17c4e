"""The text of a drain's reason: one line that Slurm, sinfo and people can bear.

Deliberately not here: the id that precedes it (`nodeproof.slurm.wish`).
"""

from collections.abc import Sequence

from nodeproof.engine import Result
from nodeproof.slurm.wish import MAX_TEXT_BYTES

#: Words in ASCII for what summaries hold. The rest would end a quoted word in a shell script, or a
#: column of `sinfo -o '%N|%E'`.
_PLAIN = str.maketrans({"…": "...", "µ": "u", "°": " "} | dict.fromkeys("\"'`|\\$", "?"))


def text_of(results: Sequence[Result]) -> str:
    """Return `check.id: summary (+n more)` for the failures of a drain, the cause first.

    Printable ASCII and at most `MAX_TEXT_BYTES`; what is too long loses the end of its summary.
    """
    first = results[0]
    more = f" (+{len(results) - 1} more)" if len(results) > 1 else ""
    text = _ascii(f"{first.spec.id}: {first.verdict.summary}")
    room = MAX_TEXT_BYTES - len(more)
    return (text if len(text) <= room else text[: room - 3].rstrip() + "...") + more


def _ascii(text: str) -> str:
    plain = text.translate(_PLAIN)
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in plain)

"""The corpus of kernel messages in tests/events/corpus.

A file says what is expected, `=> RULE key=value ...`, and then the lines that must tell it. `part` and `variant` are
the event's, `count` how many it tells, `lines` how many events (else one for each line, or one for a block), the others
are fields.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "events" / "corpus"


class Sample(NamedTuple):
    """What lines must tell. `where` is their place in the corpus."""

    where: str
    rule: str
    expected: dict[str, str]
    lines: list[str]


def samples() -> Iterator[Sample]:
    for file in sorted(CORPUS.glob("*.txt")):
        sample: Sample | None = None
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line.startswith("=> "):
                if sample is not None:
                    yield sample
                rule, *rest = shlex.split(line[3:])
                sample = Sample(f"{file.stem}:{number}", rule, dict(word.split("=", 1) for word in rest), [])
            elif line and not line.startswith("# ") and sample is not None:
                sample.lines.append(line)
        if sample is not None:
            yield sample


SAMPLES = list(samples())

#: Messages that tell nothing.
BENIGN = [
    line for line in (CORPUS / "benign.txt").read_text().splitlines() if line.strip() and not line.startswith("# ")
]

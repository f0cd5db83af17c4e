"""The gate file as it is written, and damaged: then it is never an answer, by the gate and by the agent's parser."""

import random
import subprocess
from pathlib import Path

import pytest

from gate_run import FELL_BACK, WELL, Gated, boot_id, in_seconds, well
from nodeproof.daemon.gate import Answer, Gate, from_text, to_text

SEED, MUTATIONS = 20261126, 300

FULL = Gate(
    boot_id(),
    in_seconds(3600),
    Answer(3, ("could not tell: gpu.count: NVML: timed out", "µ")),
    Answer(1, ("gpu.count: 7 GPUs, expected 8", "no job starts on this node")),
    Answer(0, ()),
)


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


# The file


def test_a_file_is_read_as_it_was_written() -> None:
    gate = Gate(boot_id(), 7, Answer(3, ("µ: could not tell", "second")), Answer(1, ("gone",)), WELL)

    assert from_text(to_text(gate)) == gate


def test_hostile_and_endless_lines_become_harmless_ones() -> None:
    lines = ("a\nprolog 0\nend\n", "", "x" * 1000, "\x1b[2J\u202e\udcff", *["line"] * 10_000)
    raw = to_text(well()._replace(prolog=Answer(1, lines)))

    told = from_text(raw).prolog.lines
    assert len(raw) < 1 << 16
    assert told[0] == "a?prolog 0?end?"
    assert (len(told[1]), told[2]) == (600, "?[2J??")
    assert told[-1] == f"and {len(lines) - 1 - (len(told) - 1)} more"


@pytest.mark.parametrize(
    "gate",
    [
        well()._replace(prolog=Answer(2, ("x",))),
        well()._replace(healthcheck=Answer(4, ("x",))),
        well()._replace(epilog=Answer(-1, ("x",))),
        well()._replace(boot_id="unknown"),
        well()._replace(until_ns=-1),
    ],
)
def test_what_no_gate_would_read_is_not_written(gate: Gate) -> None:
    with pytest.raises(ValueError, match="no gate reads this"):
        to_text(gate)


# Damage


def is_fresh(gate: Gate) -> bool:
    return gate.boot_id == boot_id() and in_seconds(0) < gate.until_ns < in_seconds(86300)


def expected(raw: bytes, kind: str) -> tuple[int, str]:
    """Return exit code and output by the opinion of the agent's parser."""
    try:
        gate = from_text(raw)
    except ValueError:
        return 0, f"{FELL_BACK}{kind}\n"
    if not is_fresh(gate):
        return 0, f"{FELL_BACK}{kind}\n"
    answer: Answer = getattr(gate, kind)
    return answer.exit_code, "".join(f"nodeproof {kind}: {line}\n" for line in answer.lines)


def test_no_part_of_a_file_passes_for_the_whole(gated: Gated) -> None:
    raw = to_text(FULL)
    for size in range(len(raw)):
        gated.leave_raw(raw[:size])
        assert "the gate file is damaged" in gated.fell_back("prolog"), raw[:size]
        with pytest.raises(ValueError, match="damaged"):
            from_text(raw[:size])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"end\n", b"end\n\n"),
        (b"end\n", b"end"),
        (b"end\n", b"end\nprolog 0\n"),
        (b"prolog 1\n", b"prolog 1\nprolog 0\n"),
        (b"prolog 1\n", b"prolog 01\n"),
        (b"prolog 1\n", b"prolog 2\n"),
        (b"prolog 1\n", b"prolog  1\n"),
        (b"prolog 1\n", b"prolog 1\r\n"),
        (b"prolog 1\n", b"Prolog 1\n"),
        (b"healthcheck 3\n", b"healthcheck 4\n"),
        (b"healthcheck 3\n", b""),
        (b"prolog-line no", b"prolog-line \0no"),
        (b"prolog-line no", b"prolog-line \x1bno"),
        (b"prolog-line no", b"prolog-line \x7fno"),
        (b"prolog-line no", b"prolog-lineno"),
        (b"prolog-line no", b"epilog-line no"),
        (b"prolog-line no job starts on this node", b"prolog-line "),
        (b"prolog-line no", b"prolog-line " + b"x" * 2400),
        (b"until ", b"until 0"),
        (b"until ", b"until -"),
        (b"until ", b"until 18446744073709551616"),
        (b"boot ", b"boot g"),
        (b"nodeproof-gate 1", b"nodeproof-gate 2"),
        (b"nodeproof-gate 1", b"\xef\xbb\xbfnodeproof-gate 1"),
    ],
)
def test_every_line_has_its_place_and_nothing_else_has_one(gated: Gated, old: bytes, new: bytes) -> None:
    raw = to_text(FULL).replace(old, new, 1)
    gated.leave_raw(raw)

    assert "the gate file is damaged" in gated.fell_back("prolog")
    with pytest.raises(ValueError, match="damaged"):
        from_text(raw)


def of_size(size: int) -> bytes:
    """Return a file of so many bytes with nothing wrong but perhaps that."""
    raw = to_text(well()._replace(epilog=Answer(1, ("x",)))).removesuffix(b"end\n")
    while (left := size - len(raw) - len(b"epilog-line \nend\n")) > 0:
        raw += b"epilog-line " + b"x" * (left if left <= 2400 else 2000) + b"\n"
    return raw + b"end\n"


def test_a_file_has_at_most_64_kib(gated: Gated) -> None:
    for size, is_fine in ((1 << 16, True), ((1 << 16) + 1, False)):
        raw = of_size(size)
        assert len(raw) == size
        gated.leave_raw(raw)
        assert (gated.run("prolog").stdout == "") == is_fine
        assert (expected(raw, "prolog") == (0, "")) == is_fine


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Return the file with one to three faults in it."""
    changed = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        at, other = sorted((chance.randrange(len(changed) + 1), chance.randrange(len(changed) + 1)))
        match chance.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                changed[at:at] = changed[at:other]
            case 4:
                del changed[at:other]
            case 5 if at < len(changed):
                changed[at] = chance.choice(b"0123456789 \n-")
            case _:
                lines = bytes(changed).splitlines(keepends=True)
                chance.shuffle(lines)
                changed = bytearray(b"".join(lines))
        changed = changed or bytearray(b"\n")
    return bytes(changed)


def test_gate_and_agent_agree_on_every_damage(gated: Gated) -> None:
    chance = random.Random(SEED)
    answered = 0
    for _ in range(MUTATIONS):
        raw, kind = mutated(to_text(FULL), chance), chance.choice(("healthcheck", "prolog", "epilog"))
        gated.leave_raw(raw)
        done = gated.run(kind)
        assert (done.returncode, done.stdout) == expected(raw, kind), raw
        answered += FELL_BACK not in done.stdout

    assert 0 < answered < MUTATIONS // 2, "some changes of the text leave an answer, most damage does not"


def test_garbage_is_no_answer(gated: Gated) -> None:
    chance = random.Random(SEED)
    for size in (0, 1, 100, 5000, 1 << 16):
        gated.leave_raw(chance.randbytes(size))
        assert "the gate file is damaged" in gated.fell_back("healthcheck")


def test_a_file_that_is_replaced_meanwhile_is_the_old_one_or_the_new_one(gated: Gated) -> None:
    answers = [to_text(well()._replace(prolog=Answer(1, (name * 500,)))) for name in ("a", "b")]
    gated.leave_raw(answers[0])
    part, told = gated.run_dir / ".gate", []
    for number in range(50):
        with subprocess.Popen(gated.argv("prolog"), stdout=subprocess.PIPE, text=True, env={}) as gate:
            while gate.poll() is None:
                part.write_bytes(answers[number % 2])
                part.chmod(0o644)
                part.replace(gated.file)
            assert gate.stdout is not None
            told.append((gate.returncode, gate.stdout.read()))

    assert set(told) <= {(1, f"nodeproof prolog: {name * 500}\n") for name in ("a", "b")}

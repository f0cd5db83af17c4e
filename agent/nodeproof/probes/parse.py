"""Small parsers that several probes share. All raise FactError(malformed) and name the source."""

from nodeproof.errors import FactError
from nodeproof.host import Host

#: Most numbers that a kernel list may hold; the largest kernels are built for 8192 CPUs.
MAX_NUMBERS = 1 << 16


def integer(source: str, text: str, base: int = 10) -> int:
    """Return `text` as an int."""
    try:
        return int(text, base)
    except ValueError as error:
        raise FactError(source, "malformed", f"expected a number, found {text[:40]!r}") from error


def read_int(host: Host, path: str, base: int = 10) -> int:
    """Return the number in a file."""
    return integer(path, host.text(path), base)


def optional_text(host: Host, path: str) -> str | None:
    """Return the file's text, or None where the kernel or the device does not have that file."""
    try:
        return host.text(path)
    except FactError as error:
        if error.kind == "absent":
            return None
        raise


def optional_int(host: Host, path: str, base: int = 10) -> int | None:
    """Return the number in a file, or None where the kernel or the device does not have that file."""
    text = optional_text(host, path)
    return None if text is None else integer(path, text, base)


def number_list(source: str, text: str) -> list[int]:
    """Return the numbers of a kernel list such as `0-3,8,10-11` (cpulist format, possibly empty)."""
    numbers: list[int] = []
    for part in text.split(","):
        if not part.strip():
            continue
        first, dash, last = part.partition("-")
        low = integer(source, first)
        high = integer(source, last) if dash else low
        if high < low:
            raise FactError(source, "malformed", f"range {part[:40]!r} runs backwards")
        if len(numbers) + high - low >= MAX_NUMBERS:
            raise FactError(source, "malformed", f"more than {MAX_NUMBERS} numbers")
        numbers += range(low, high + 1)
    return numbers

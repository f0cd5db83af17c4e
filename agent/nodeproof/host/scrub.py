"""Replace what identifies a machine in a recording, each by the same invented word wherever it stands.

What goes: serial numbers, asset tags, UUIDs, WWNs, GUIDs, MAC and IP addresses, and host names. The
invented words are keyed with a secret that is made for one call and forgotten: a MAC address has so few
possibilities that a plain hash of it could be reversed. Versions, models and topology stay.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from nodeproof.host.record import Notes

HOST_NAME = "/proc/sys/kernel/hostname"
SMBIOS_TABLE = "/sys/firmware/dmi/tables/DMI"

#: Files and answer keys whose whole value identifies the machine.
_IDENTIFYING = re.compile(
    r"(^|[_/])(serial|serial_number|serialno|uuids?|product_uuid|wwid|wwn|asset_tag|node_guid|sys_image_guid|eui|nguid|sn)$"
)

#: Addresses, wherever they stand. A GID or GUID is four or eight groups of four hexadecimal digits.
_ADDRESSES = {
    "mac": re.compile(r"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])"),
    "guid": re.compile(
        r"(?<![0-9A-Fa-f:])[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{4}){3}(?:(?::[0-9A-Fa-f]{4}){4})?(?![0-9A-Fa-f:])"
    ),
    "uuid": re.compile(r"(?<![0-9A-Fa-f-])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f-])"),
    "ipv4": re.compile(r"(?<![\w.])(?!127\.|0\.|255\.)(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"),
}

#: An NFS, Lustre or CIFS source names its servers before the path: `server:/export`, `//server/share`.
_SERVER = re.compile(r"(?m)^(?:(?P<nfs>[\w.@,-]+):/|//(?P<cifs>[\w.-]+)/)")

#: Shorter values occur by chance (`0`, `None`), and say nothing.
_SHORTEST = 4

_NOTHING = {"none", "not specified", "not available", "unknown", "default string", "to be filled by o.e.m.", "n/a"}


def scrub(notes: Notes) -> None:
    """Replace identifying values in `notes`, in place."""
    disguise = _Disguise(os.urandom(32))
    known = sorted(set(_known_values(notes)), key=len, reverse=True)
    words = {value: disguise.word(value) for value in known}
    pattern = re.compile("|".join(re.escape(v) for v in known)) if known else None

    def clean(text: str) -> str:
        if pattern is not None:
            text = pattern.sub(lambda m: words[m[0]], text)
        for kind, address in _ADDRESSES.items():
            text = address.sub(lambda m, k=kind: disguise.address(k, m[0]), text)  # type: ignore[misc]
        return text

    notes.files = {clean(p): _clean_file(p, c, clean, words) for p, c in notes.files.items()}
    if HOST_NAME in notes.files:  # even one too short to be looked for elsewhere
        notes.files[HOST_NAME] = disguise.word(notes.files[HOST_NAME].decode(errors="replace").strip()).encode() + b"\n"
    notes.globs = {clean(p) for p in notes.globs}
    notes.found = {clean(p) for p in notes.found}
    notes.links = {clean(p): clean(t) for p, t in notes.links.items()}
    notes.errors = {clean(n): [kind, clean(detail)] for n, (kind, detail) in notes.errors.items()}
    notes.calls = {clean(n): _map(a, clean) for n, a in notes.calls.items()}


def _clean_file(path: str, content: bytes, clean: Callable[[str], str], words: dict[str, str]) -> bytes:
    """Return a file without what identifies; a binary table keeps its length and its offsets."""
    if path == SMBIOS_TABLE:
        content = _clean_smbios_uuid(content)
        for value, word in words.items():
            content = content.replace(
                value.encode(), word.encode()[: len(value.encode())].ljust(len(value.encode()), b"x")
            )
        return content
    try:
        return clean(content.decode()).encode()
    except UnicodeDecodeError:
        return content


def _clean_smbios_uuid(table: bytes) -> bytes:
    """Zero the 16 UUID bytes of the System Information structure (DMTF DSP0134, type 1, offset 8)."""
    for start, kind, length in _structures(table):
        if kind == 1 and length >= 24:
            return table[: start + 8] + bytes(16) + table[start + 24 :]
    return table


def _structures(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, type, formatted length) of each SMBIOS structure."""
    at = 0
    while at + 4 <= len(table) and table[at + 1] >= 4:
        yield at, table[at], table[at + 1]
        end = table.find(b"\0\0", at + table[at + 1])
        if end < 0:
            return
        at = end + 2


#: Where SMBIOS structures hold the number of a string that identifies (DSP0134): type -> offsets.
_SMBIOS_STRINGS = {1: (7,), 2: (7, 8), 3: (7, 8), 4: (32, 33), 17: (24, 25), 22: (8,), 39: (8, 9)}


def _smbios_strings(table: bytes) -> Iterator[str]:
    for start, kind, length in _structures(table):
        strings = table[start + length : table.find(b"\0\0", start + length)].split(b"\0")
        for offset in _SMBIOS_STRINGS.get(kind, ()):
            number = table[start + offset] if offset < length else 0
            if 0 < number <= len(strings):
                yield strings[number - 1].decode(errors="ignore")


def _known_values(notes: Notes) -> Iterator[str]:
    """Yield values that identify by what they are called, so that they are found wherever else they stand."""
    found = [c.decode(errors="ignore").strip() for p, c in notes.files.items() if _IDENTIFYING.search(p)]
    found += _smbios_strings(notes.files.get(SMBIOS_TABLE, b""))
    for answer in notes.calls.values():
        found += _identifying_answers(answer)
    for content in (c for p, c in notes.files.items() if p.endswith(("/mounts", "/mountinfo"))):
        text = "\n".join(content.decode(errors="ignore").replace(" - ", " ").split())
        for match in _SERVER.finditer(text):
            found += re.split("[,@]", match["nfs"] or match["cifs"])
    name = notes.files.get(HOST_NAME, b"").decode(errors="ignore").strip()
    found += [name, name.partition(".")[0]]
    for value in found:
        if len(value) >= _SHORTEST and value.lower() not in _NOTHING and set(value) - set("0-: ."):
            yield value


def _identifying_answers(answer: Any, key: str = "") -> Iterator[str]:
    if isinstance(answer, dict):
        for k, v in answer.items():
            yield from _identifying_answers(v, str(k))
    elif isinstance(answer, list):
        for v in answer:
            yield from _identifying_answers(v, key)
    elif isinstance(answer, str) and _IDENTIFYING.search(key):
        yield answer


def _map(answer: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(answer, dict):
        return {k: _map(v, clean) for k, v in answer.items()}
    if isinstance(answer, list):
        return [_map(v, clean) for v in answer]
    return clean(answer) if isinstance(answer, str) else answer


class _Disguise:
    """Invents words: the same one for the same value, no way back without the key."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def word(self, value: str) -> str:
        """Return a word of the same length, so that tables and columns stay as they are."""
        digest = self._hex(value)
        return ("x" + digest * (len(value) // len(digest) + 1))[: len(value)]

    def address(self, kind: str, value: str) -> str:
        digest = self._hex(value.lower().replace("-", ":"))
        if kind == "mac":
            separator = value[2]
            return separator.join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])
        if kind == "ipv4":
            return f"10.{int(digest[:2], 16)}.{int(digest[2:4], 16)}.{int(digest[4:6], 16)}"
        digits = iter(digest)
        return "".join(c if c in ":-" else next(digits) for c in value)

    def _hex(self, value: str) -> str:
        return hmac.new(self.key, value.encode(), hashlib.sha256).hexdigest()

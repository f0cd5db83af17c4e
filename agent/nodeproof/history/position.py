"""How far the kernel log was read."""

from typing import NamedTuple


class Position(NamedTuple):
    """The last line of the kernel log that was taken: its sequence number, unique within a boot."""

    boot_id: str
    sequence: int

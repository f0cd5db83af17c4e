"""What the controller believes of a wish: whoever is root on a node may say anything. Pure.

That a node speaks for itself alone is made sure elsewhere (`nodeproof.controller.credentials`).
"""

from nodeproof.slurm.wish import Record, Wish, parts

#: They mean something to a shell, or to who splits `sinfo -o '%N|%E'`; no node of ours sends them (`nodeproof.decide`).
_UNSAFE = frozenset("\"'`|\\$")


def believed(wish: Wish, account: str) -> Wish:
    """Return the wish without a record of a drain that is not ours: an administrator's could be lifted with it.

    `account` is ours in Slurm, "" where it is not known. Raises ValueError for a text that is unsafe in a reason.
    """
    if _UNSAFE & set(wish.text):
        raise ValueError("text has characters that are unsafe in a reason")
    is_of_us = wish.record is None or _is_ours(wish.record, account)
    return wish if is_of_us else wish._replace(record=None)


def _is_ours(record: Record, account: str) -> bool:
    return parts(record.reason) is not None and (record.reason_changed_at is None or account in {"", record.user})

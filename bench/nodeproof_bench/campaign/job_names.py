"""How jobs of campaigns are called: the name alone says which job it is, and is used once."""

import re
from typing import NamedTuple


class JobName(NamedTuple):
    """Which job it is: one attempt at a task, on one node."""

    campaign_id: str
    task: int
    attempt: int
    node: str

    def __str__(self) -> str:
        return f"{prefix(self.campaign_id)}{self.task}-{self.attempt}-{self.node}"


def prefix(campaign_id: str) -> str:
    """Return what the names of a campaign's jobs begin with, and no others'."""
    return f"np-{campaign_id}-"


def job_name(text: str, campaign_id: str) -> JobName | None:
    """Return which job of a campaign has this name, or None if it is none of its jobs."""
    if not text.startswith(prefix(campaign_id)):
        return None
    match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,3})-([A-Za-z0-9][A-Za-z0-9._-]*)", text[len(prefix(campaign_id)) :])
    return JobName(campaign_id, int(match[1]), int(match[2]), match[3]) if match else None

"""A result leaves its node: into the spool, or to the controller's endpoint. What goes wrong is said."""

import os
import time

from nodeproof.files import replace_file
from nodeproof_bench.campaign.collect.files import SUFFIX
from nodeproof_bench.campaign.node.lines import say
from nodeproof_bench.campaign.node.post import Endpoint, PostImpossible, PostRefused, post
from nodeproof_bench.campaign.order import DELIVERED, NOT_TAKEN, NOT_WANTED, WorkOrder

#: How long is waited before the spool is tried again: a full disk, or a server that is away, may be better then.
_PAUSE_S = 2.0

_MODE = 0o640


def deliver(order: WorkOrder, token: str, content: bytes, until_s: float) -> int:
    """Deliver a result; tries until then (monotonic), once at least. Returns the job's exit code."""
    if order.spool:
        return _into_spool(order, content, until_s)
    try:
        post(
            Endpoint(order.post, token, order.ca_file),
            order.key,
            content,
            until_s,
            lambda problem: say(f"{order.post}: {problem}"),
        )
    except (PostRefused, PostImpossible, TimeoutError) as error:
        say(f"{order.post}: {error}")
        return NOT_WANTED if isinstance(error, PostRefused) else NOT_TAKEN
    return DELIVERED


def _into_spool(order: WorkOrder, content: bytes, until_s: float) -> int:
    """Write into the directory of the campaign, which its controller has made: where it is missing, so is the spool."""
    path = os.path.join(order.spool, order.campaign, order.key.name + SUFFIX)
    said = ""
    while True:
        try:
            replace_file(path, content, _MODE)
        except OSError as error:
            why = f"{path}: cannot be written: {error.strerror}"
        else:
            return DELIVERED
        if why != said:
            say(f"{why} (trying again)")
            said = why
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return NOT_TAKEN
        time.sleep(min(_PAUSE_S, left_s))

"""A result leaves its node: into the spool, or to the controller's endpoint. What cannot is kept here, and said."""

import os
import time

from nodeproof.errors import NodeproofError
from nodeproof.files import replace_file
from nodeproof_bench.campaign.collect.files import SUFFIX
from nodeproof_bench.campaign.node.local import local_directory
from nodeproof_bench.campaign.node.post import Endpoint, PostRefused, post
from nodeproof_bench.campaign.order import WorkOrder

#: How long is waited before the spool is tried again: a full disk, or a server that is away, may be better then.
_PAUSE_S = 2.0

_MODE = 0o640


def deliver(order: WorkOrder, token: str, content: bytes, until_s: float) -> bool:
    """Deliver a result; tries until then (monotonic), once at least. Returns whether it is there."""
    if order.spool:
        return _into_spool(order, content, until_s)
    try:
        post(Endpoint(order.post, token, order.ca_file), order.key, content, until_s)
    except (PostRefused, TimeoutError) as error:
        _say(f"{order.post}: {error}")
    else:
        return True
    keep(order, content)
    return False


def _into_spool(order: WorkOrder, content: bytes, until_s: float) -> bool:
    """Write into the directory of the campaign, which its controller has made: where it is missing, so is the spool."""
    path = os.path.join(order.spool, order.campaign, order.key.name + SUFFIX)
    said = ""
    while True:
        try:
            replace_file(path, content, _MODE)
        except OSError as error:
            why = f"{path}: cannot be written: {error.strerror}"
        else:
            return True
        if why != said:
            _say(f"{why} (trying again)")
            said = why
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(_PAUSE_S, left_s))
    keep(order, content)
    return False


def keep(order: WorkOrder, content: bytes) -> None:
    """Leave a result on its node, for an operator, since it could not be delivered."""
    try:
        path = os.path.join(local_directory(order), f"{order.campaign}.{order.key.name}{SUFFIX}")
        replace_file(path, content, 0o600)
    except NodeproofError as error:
        _say(f"the result is lost: {error}")
    except OSError as error:
        _say(f"the result is lost: {path}: cannot be written: {error.strerror}")
    else:
        _say(f"the result was not delivered, and is kept on this node in {path}")


def _say(text: str) -> None:
    print(f"nodeproof: {text}", flush=True)  # noqa: T201  # to the job's output

"""`nodeproof campaign work`: what a job of a campaign runs on its node."""

import os

import click

from nodeproof.verdict import harmless
from nodeproof_bench.campaign.order import TOKEN_VARIABLE, VARIABLE, OrderError, WorkOrder, from_json


@click.command("work", hidden=True)
def work() -> int:
    """Do one job of a campaign on this node. For the job's script alone: what to do is in its environment.

    Exit code: 0 a result was delivered, 1 it is lost, 2 there is no order, or a wrong one; 75 the result is kept on
    this node, since nobody took it in time, 77 since it was refused.
    """
    order = _order()
    token = os.environ.pop(TOKEN_VARIABLE, "")  # no child of ours has any business with it
    if order.post and not token:
        raise click.UsageError(f"{TOKEN_VARIABLE} is not set, and the result is to be posted")
    from nodeproof_bench.campaign.node.work import work as do

    return do(order, token)


def _order() -> WorkOrder:
    text = os.environ.get(VARIABLE)
    if text is None:
        raise click.UsageError(f"{VARIABLE} is not set: only a job of `nodeproof campaign run` runs this")
    try:
        return from_json(text)
    except OrderError as error:
        raise click.UsageError(f"{VARIABLE}: {harmless(str(error), 300)}") from error


command = work

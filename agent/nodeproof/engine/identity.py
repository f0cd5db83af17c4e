"""Which node this is, asked with a deadline."""

import time

from nodeproof.engine.worker import read_facts
from nodeproof.errors import FactError
from nodeproof.host import Host
from nodeproof.probes.identity import Identity, host_name

#: How long reading the node's identity may take: it comes before the pass and its budget.
MOST_S = 3.0


def read_identity(host: Host, most_s: float = MOST_S) -> Identity:
    """Return which node this is, read by a worker: the NVIDIA driver may hang to answer."""
    until_s = time.monotonic() + most_s
    value = read_facts(host, [Identity], deadline_s=most_s / 2, until_s=until_s)[Identity].value
    if isinstance(value, FactError):
        return Identity(host_name(host), unread=(FactError("identity of this node", value.kind, str(value)),))
    assert isinstance(value, Identity)
    return value

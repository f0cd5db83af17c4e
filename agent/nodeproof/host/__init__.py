"""The only door to the machine: probes ask a Host and nothing else.

`Host()` is the live machine; `open_host(root)` also replays a recording (directory or tar.gz) or any
directory tree that mirrors `/`. `nodeproof.host.record` keeps what a Host was asked and answered.
"""

from nodeproof.host.base import Host, HostCall
from nodeproof.host.opening import open_host

__all__ = ["Host", "HostCall", "open_host"]

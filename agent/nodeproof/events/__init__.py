"""What happens to a machine: events, the rules that recognise them, and the ledger that checks judge. No I/O.

Deliberately not here: where events come from (`nodeproof.daemon.sources`) and where they are kept
(`nodeproof.history`).
"""

from nodeproof.events.event import Event

__all__ = ["Event"]

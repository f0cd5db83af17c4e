"""What happened on this node, kept in one SQLite file: events, changes of verdicts, actions, what jobs saw.

Deliberately not here: what is remembered to decide (`nodeproof.state`), which must stay readable when this does not.
"""

from nodeproof.history.position import Position
from nodeproof.history.rows import Standing
from nodeproof.history.store import History

__all__ = ["History", "Position", "Standing"]

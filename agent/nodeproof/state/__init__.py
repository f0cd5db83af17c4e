"""What must survive from one pass to the next."""

from nodeproof.state.model import DrainRecord, State
from nodeproof.state.store import Store, default_directory

__all__ = ["DrainRecord", "State", "Store", "default_directory"]

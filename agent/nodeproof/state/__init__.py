"""What must survive from one pass to the next."""

from nodeproof.files import state_directory as default_directory
from nodeproof.state.model import Held, LeftAlone, State
from nodeproof.state.store import Store

__all__ = ["Held", "LeftAlone", "State", "Store", "default_directory"]

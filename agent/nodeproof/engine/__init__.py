"""One pass: facts read once, checks judged, a verdict for every check. Never a crash, never late."""

from nodeproof.engine.run import Pass, Result, run

__all__ = ["Pass", "Result", "run"]

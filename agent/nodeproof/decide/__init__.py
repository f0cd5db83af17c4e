"""Verdicts, history and policy become one intent. Pure."""

from nodeproof.decide.history import History, Streak, counted, this_pass_only
from nodeproof.decide.intent import Intent, decide
from nodeproof.decide.reason import MAX_REASON_BYTES, reason_of

__all__ = ["MAX_REASON_BYTES", "History", "Intent", "Streak", "counted", "decide", "reason_of", "this_pass_only"]

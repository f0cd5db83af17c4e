"""Verdicts, history and policy become one intent. Pure."""

from nodeproof.decide.history import History, Streak, counted, this_pass_only
from nodeproof.decide.intent import Intent, decide
from nodeproof.decide.reason import text_of

__all__ = ["History", "Intent", "Streak", "counted", "decide", "text_of", "this_pass_only"]

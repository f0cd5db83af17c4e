"""Verdicts, history and policy become one intent. Pure."""

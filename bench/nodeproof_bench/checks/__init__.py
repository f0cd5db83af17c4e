"""Thresholds over benchmark results: pure functions of saved results and other facts, one subject per file."""

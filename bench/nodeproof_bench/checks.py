"""Thresholds over benchmark results."""

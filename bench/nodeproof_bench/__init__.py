"""Micro-benchmarks: spawning, placement, results as facts, thresholds as checks."""

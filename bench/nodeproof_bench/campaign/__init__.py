"""Burn-in campaigns: plan, run through Slurm, collect, judge and report."""

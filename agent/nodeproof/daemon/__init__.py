"""The agent that stays on a node: it sees what happens, has it judged, and leaves answers for Slurm's hooks."""

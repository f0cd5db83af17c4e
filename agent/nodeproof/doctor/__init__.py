"""`nodeproof slurm doctor`: whether all between this node's checks and Slurm is wired as it must be.

Reads, connects and asks; the one thing it writes is this node's own `extra`, with what stands there already.
"""

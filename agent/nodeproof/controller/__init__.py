"""The drain controller: nodes hand it what they want of Slurm, and it alone holds the token.

Nothing is imported here: a node needs `client`, and none of the rest.
"""

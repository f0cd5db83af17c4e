"""The only module that talks to slurmrestd."""

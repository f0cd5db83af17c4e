"""nodeproof: decides whether a bare-metal node is fit to work."""

__version__ = "0.1.0"

"""`python -I -m nodeproof`: how hooks start it, untouched by the caller's environment."""

from nodeproof.cli import main

main()

"""Our benchmarks beside the public tools, interleaved: `make bench-peers`. A developer's tool, not in the wheel."""

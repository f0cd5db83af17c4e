"""Policy: TOML drop-ins in, effective settings for one node out, every value traced to its file and line."""

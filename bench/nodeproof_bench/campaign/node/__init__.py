"""What a job of a campaign does on its node."""

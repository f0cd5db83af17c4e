"""What must survive from one pass to the next."""

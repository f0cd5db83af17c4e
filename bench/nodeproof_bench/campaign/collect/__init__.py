"""Take what jobs measured into the book: from files or over HTTP."""

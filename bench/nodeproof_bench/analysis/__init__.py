"""Judge many nodes together: statistics over arrays, no files and no network."""

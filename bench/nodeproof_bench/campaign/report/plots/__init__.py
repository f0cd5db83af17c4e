"""Where things go on a drawing. Nothing here draws: templates do, so that every name in them is escaped."""

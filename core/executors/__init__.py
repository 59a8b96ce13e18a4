"""Where a runner process is started: one file per kind of place."""

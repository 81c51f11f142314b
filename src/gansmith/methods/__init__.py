"""Training methods, one file each: networks, phases and their losses."""

"""Where images come from: each source in one file, all read through one memory-mapped cache."""

"""Named data sets, one file for each family."""

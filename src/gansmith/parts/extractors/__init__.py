"""Feature extractors: networks through whose eyes images are compared, one file each."""

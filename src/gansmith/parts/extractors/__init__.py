"""Feature extractors of metrics, one file each."""

"""Metrics of a model and of snapshots, verdicts on a run, comparison of runs, downstream studies."""

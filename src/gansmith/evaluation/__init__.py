"""Metrics of a model, comparison of runs, metrics of snapshots, downstream studies."""

"""Metrics of a model, comparison of runs, snapshots while training."""

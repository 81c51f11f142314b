"""Classifiers that learn from a model: linear probe, synthetic sets, studies."""

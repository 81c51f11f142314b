"""What a model is worth to a classifier: linear probe, synthetic sets, studies."""

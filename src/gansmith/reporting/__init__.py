"""What a person sees of a run: curves, film, model card, the one-page report, and TensorBoard events."""

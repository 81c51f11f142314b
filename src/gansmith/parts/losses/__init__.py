"""Adversarial losses: arithmetic on logits, one file each."""

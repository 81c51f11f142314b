"""Adversarial losses, one file each: logits in, a number out."""

"""Gradient penalties on the discriminator, one file each."""

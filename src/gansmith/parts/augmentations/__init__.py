"""Augmentations of the discriminator's inputs, one file each."""

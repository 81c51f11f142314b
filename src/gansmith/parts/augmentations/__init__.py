"""Augmentations of what the discriminator sees: differentiable batched maps, one file each."""

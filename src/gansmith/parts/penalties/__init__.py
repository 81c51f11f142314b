"""Penalties on a discriminator's gradient with respect to images, one file each."""

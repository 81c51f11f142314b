"""Find the latent of an image."""

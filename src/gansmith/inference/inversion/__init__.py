"""Find the latent of an image; with a mask, fill in its missing pixels."""

"""What a trained model is for: walks, sums, inversion and directions in its latent space."""

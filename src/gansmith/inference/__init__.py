"""Use a trained model: load, sample, latent tools, translate, upscale, score, features."""

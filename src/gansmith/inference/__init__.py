"""A trained model at work: load, sample, latent tools, translate, upscale, score, features."""

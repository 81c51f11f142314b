"""Sources of images: folders, archives, arrays, the Hugging Face Hub, pairs and domains."""

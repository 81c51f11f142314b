"""Data sets: sources of images, named sets, the cache of decoded images, batches."""

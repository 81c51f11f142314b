"""Pixels: decode, fit, convert; grids, captions, films, scatter plots and tiles."""

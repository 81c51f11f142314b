"""Pixels: decode, fit, convert, draw grids, captions, films and tiles."""

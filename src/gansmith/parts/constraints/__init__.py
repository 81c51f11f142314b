"""Constraints on a network's weights, applied after each of its optimizer steps, one file each."""

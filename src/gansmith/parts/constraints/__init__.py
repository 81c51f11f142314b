"""Constraints on weights, one file each, applied after each optimizer step."""

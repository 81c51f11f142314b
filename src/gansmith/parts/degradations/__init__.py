"""Degradations, one file each: make small source images from large targets."""

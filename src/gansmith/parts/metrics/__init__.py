"""Metrics of samples against real images, one file each."""

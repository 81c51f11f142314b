"""Metrics: one file each, pure functions of named ``real`` and ``fake``."""

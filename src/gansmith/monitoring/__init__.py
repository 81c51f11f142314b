"""Verdicts from the logged numbers of a run, and suggestions."""

"""Errors, atomic files, registry, schedules, randomness, devices and processes, signals, events."""

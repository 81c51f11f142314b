"""Foundations: errors, files, registry, schedules, random numbers, devices, signals, events."""

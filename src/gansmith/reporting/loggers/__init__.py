"""Loggers: the trackers that a run can be sent to, one file each."""

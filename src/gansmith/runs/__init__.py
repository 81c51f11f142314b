"""A run on disk: its folder, record, log, checkpoints and length."""

"""The training step, the loop around it, and what it needs to start."""

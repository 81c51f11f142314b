"""From a recipe's name to a trained run: planning, preparation, the step, the loop around it, sweeps."""

"""auto: a recipe for these images, this machine and this budget."""

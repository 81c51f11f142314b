"""The parts a recipe names, one file each; none imports a part of another family."""

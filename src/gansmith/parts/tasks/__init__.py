"""Tasks: what a source image is made of where the data have only targets, one file each."""

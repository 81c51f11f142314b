"""Tasks, one file each: make source images from targets."""

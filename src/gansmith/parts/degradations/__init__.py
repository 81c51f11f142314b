"""How small images come about: what is lost on the way from a large one to its source. One file each."""

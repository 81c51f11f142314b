"""Training schemes: which networks there are, what each phase trains, and what it minimises. One file each."""

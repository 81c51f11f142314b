"""Networks, one file each: architectures of generators and discriminators."""

"""Parts that recipes name, one file each; families never import each other."""

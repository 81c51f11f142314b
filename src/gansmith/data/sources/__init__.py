"""Places images come from: folders, archives, arrays, the Hub, pairs and domains."""

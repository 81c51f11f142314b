"""The recipes that come with gansmith, as YAML files."""

"""The one import for authors of parts."""

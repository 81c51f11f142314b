"""The command line: a file per verb parses, calls ``gansmith.api`` and prints; ``app`` has the list."""

"""The command line: one file per verb, which parses, calls ``gansmith.api`` and prints."""

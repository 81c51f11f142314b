"""The command line: each verb in one file, which parses, calls ``gansmith.api`` and prints."""

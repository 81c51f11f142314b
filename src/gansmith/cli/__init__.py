"""The command line: each verb parses its options, calls the api and prints the result."""

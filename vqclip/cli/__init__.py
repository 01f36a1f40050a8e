"""The command line: thin shells over plain functions, the only part that prints."""

"""The command line: thin wrappers around plain functions."""

"""Readers of unpacked packages, which yield candidates; one module for each kind of source."""

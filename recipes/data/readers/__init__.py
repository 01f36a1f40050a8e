"""Readers, which yield candidates from unpacked packages; one module per kind of source."""

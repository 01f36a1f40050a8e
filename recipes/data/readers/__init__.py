"""Readers, one module for each kind of source: from unpacked packages to candidates."""

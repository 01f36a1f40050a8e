"""Files on disk: atomic writes, serialization, hashes, locks, safe YAML."""

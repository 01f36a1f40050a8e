"""Training of a CLIP."""

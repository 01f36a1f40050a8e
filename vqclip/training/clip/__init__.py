"""Training of a CLIP model."""

"""Training of a VQGAN."""

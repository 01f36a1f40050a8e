"""Training of a transformer over VQGAN codes."""

"""Training data: sources, captions, composition and batches."""

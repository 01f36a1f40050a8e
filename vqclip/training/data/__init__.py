"""Training data: sources, captions, composition, batches."""

"""Models by name: catalogue, downloads, checkpoints, loading."""

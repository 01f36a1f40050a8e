"""Models by name: catalogue, downloads, model files, loading."""

"""One run on disk: rendering, output names, checkpoints and replay."""

"""One run on disk: rendering, output names, checkpoints, replay."""

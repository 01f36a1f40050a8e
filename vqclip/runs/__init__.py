"""Runs on disk: rendering, output names, checkpoints and replay."""

"""Batches of images from a list: rows, jobs, run folder, engine, gallery."""

"""Many images from one list: rows, jobs, the run folder, the engine, the gallery."""

"""Many images from one list: rows, jobs, run folder, engine, gallery."""

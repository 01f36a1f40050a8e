"""Images and videos as files: reading, writing, metadata and timing."""

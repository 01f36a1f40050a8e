"""Images from a transformer: sampling, completion, conditions, masks."""

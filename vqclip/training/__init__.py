"""Training stages (VQGAN, transformer, CLIP), their data and their shared loop."""

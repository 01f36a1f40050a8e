"""Training: the stages (VQGAN, transformer, CLIP), their data, and the loop that they share."""

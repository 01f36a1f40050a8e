"""Neural networks: VQGAN, CLIP, the transformer and their building blocks."""

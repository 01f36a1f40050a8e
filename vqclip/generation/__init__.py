"""The method: optimise VQGAN codes until CLIP sees the prompt in every cutout."""

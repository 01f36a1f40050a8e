"""The optimisation of VQGAN codes towards prompts, as seen by CLIP."""

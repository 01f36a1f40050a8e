"""The optimisation of VQGAN codes towards prompts, as judged by CLIP."""

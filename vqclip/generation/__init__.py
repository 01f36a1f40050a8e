"""Optimisation of VQGAN codes towards prompts, guided by CLIP."""

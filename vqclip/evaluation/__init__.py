"""Measures of quality: VQGAN, CLIP, transformer, and their images.

Every function returns figures by name, for data held out of training.
"""

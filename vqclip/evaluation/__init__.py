"""How good the models are: VQGAN, CLIP, transformer, and the images that they make together.

Every function returns figures by name; what is judged was never trained on.
"""

"""Quality measures for VQGANs, CLIP models, transformers and their images.

Every function returns metrics by name, measured on data held out of training.
"""

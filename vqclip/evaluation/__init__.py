"""Quality metrics for VQGANs, CLIP models, transformers and their images.

Every function returns metrics by name, measured on held-out data.
"""

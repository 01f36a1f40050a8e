"""Quality metrics for VQGANs, CLIP models, transformers and their images.

Metrics are returned by name and should be measured on held-out data.
"""

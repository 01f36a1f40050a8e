"""Networks: VQGAN, the perceptor, and what they are made of."""

"""Adversarial generators of images from latent vectors: what ``dcgan`` and ``pggan`` share."""

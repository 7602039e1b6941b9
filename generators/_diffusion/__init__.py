"""Class-conditional diffusion on codes of images: what the generators ``ddpm`` and ``ldm`` share."""

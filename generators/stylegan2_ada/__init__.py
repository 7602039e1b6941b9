"""StyleGAN2-ADA (Karras et al. 2019 arXiv:1812.04948, 2020 arXiv:1912.04958 and arXiv:2006.06676) from the papers."""

from generators.stylegan2_ada.plugin import StyleGAN2ADA

__all__ = ["StyleGAN2ADA"]

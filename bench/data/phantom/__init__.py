"""The embedded data set: a parametric drawing of dermoscopy images whose best possible AUC is known."""

from bench.data.phantom.config import PhantomConfig
from bench.data.phantom.dataset import Phantom

__all__ = ["Phantom", "PhantomConfig"]

"""The benchmark of synthetic dermoscopy images."""

__version__ = "0.1.0"

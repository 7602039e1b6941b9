"""Control generators: what each metric must say of them is known beforehand. They are shown, and never ranked."""

from generators.controls.copies import Collapse, CopyTrain, Oracle
from generators.controls.statistical import PCAGaussian, UniformNoise

__all__ = ["Collapse", "CopyTrain", "Oracle", "PCAGaussian", "UniformNoise"]

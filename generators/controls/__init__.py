"""Control generators: what each metric must say of them is known beforehand. They are shown, and never ranked."""

from generators.controls.altered import BlurredCopy, NoisyCopy, TurnedCopy
from generators.controls.copies import Collapse, CopyTrain, Oracle
from generators.controls.mislabelled import ClassSwap, LabelShuffle, ModeDrop
from generators.controls.mixed import Mixup, OracleCopies
from generators.controls.peeker import TestPeeker
from generators.controls.statistical import PCAGaussian, UniformNoise

__all__ = [
    "BlurredCopy",
    "ClassSwap",
    "Collapse",
    "CopyTrain",
    "LabelShuffle",
    "Mixup",
    "ModeDrop",
    "NoisyCopy",
    "Oracle",
    "OracleCopies",
    "PCAGaussian",
    "TestPeeker",
    "TurnedCopy",
    "UniformNoise",
]

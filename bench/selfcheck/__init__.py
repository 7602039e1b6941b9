"""The falsification list: what each metric must say of controls whose truth is known, checked on a user's own images.

>>> from bench.selfcheck import CHECKS, prepare_ground, trusted

Every check is a claim with its number in the list (there is no 14); called with a :class:`Ground` it gives a
:class:`Finding`. A claim that does not hold says which metrics cannot be trusted on these images under this extractor.
"""

from bench.selfcheck.check import Check, Finding, Verdict
from bench.selfcheck.extractors import make_extractor
from bench.selfcheck.ground import Ground, prepare_ground
from bench.selfcheck.run import CHECKS, run_checks, trusted

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Ground",
    "Verdict",
    "make_extractor",
    "prepare_ground",
    "run_checks",
    "trusted",
]

"""The contract of a generator, conditional and with one network a class."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.testing import GeneratorContract
from generators.stylegan2_ada import StyleGAN2ADA


class TestContract(GeneratorContract):
    """Conditional, on the smoke preset."""

    plugin = StyleGAN2ADA


class TestContractPerClass(GeneratorContract):
    """One network a class, the second one begun from the first."""

    plugin = StyleGAN2ADA
    options: ClassVar[dict[str, Any]] = {"per_class": True, "chain": True, "kimg": 0.08, "invert_steps": 400}

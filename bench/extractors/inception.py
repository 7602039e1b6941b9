"""``inception``: the 2015 network of the Fréchet Inception distance, features only."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.extractors.network import Loaded, NetworkExtractor

MIDDLE = 128.0


class Inception(NetworkExtractor):
    """Pool-3 features [N, 2048] of Inception (Szegedy et al. 2016; Heusel et al. 2017, arXiv:1706.08500).

    With the resize policy ``clean`` the features are clean-fid's, with ``tf1`` torch-fidelity's. The weights hold no
    classifier, so there is no Inception Score from them. Batch norm is fused and memory is channels-last: the numbers
    stay, to 3e-6 of the largest feature, and the time falls to 50-57 %.
    """

    version: ClassVar[str] = "1"
    base_name = "inception"

    def load(self, file: Path) -> Loaded:
        """The fused network; ``file`` may be ours, torch-fidelity's or a TorchScript of the TensorFlow graph."""
        from bench.extractors.inception_network import SIDE, loaded
        from bench.extractors.states import read_state

        module = loaded(read_state(file), str(file))
        return Loaded(module, SIDE, (MIDDLE,) * 3, (MIDDLE,) * 3)

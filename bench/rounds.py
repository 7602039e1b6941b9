"""Memorization round by round: are the images that a round accepted nearer to train than held-out images are?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images
from bench.evaluate import PIXEL_SIDE, FeatureSpace, measure_seed
from bench.ledger import Lineage
from bench.pixels import PixelArray
from bench.record import EstimateRecord, RoundRecord
from bench.workbench import Workbench

EVENT = "memorization"
P = "p_innocent"
Encode = Callable[[PixelArray], NDArray[Any]]


def accepted_in(rounds: Sequence[Lineage]) -> list[Images]:
    """The images that each round accepted."""
    return [r.children.take(r.accepted) for r in rounds]


def measure_rounds(
    bench: Workbench, space: FeatureSpace, train: Images, reference: Images, rounds: Sequence[Lineage], seed: int
) -> list[RoundRecord]:
    """Copy rate at 1 % FPR of each round against ``train``, beside the held-out ``reference``: one stage.

    Measured as that of the run's own sample: under the run's extractor, and by thumbnails and domain features in all
    eight orientations. Images that were made from training images are near them by design: shown, never an error.
    """
    from bench.metrics import VERSION

    images = accepted_in(rounds)

    def measure(measured_with: int) -> list[dict[str, Any]]:
        sides = _encoded(space, train, reference)
        return [_copy_rates(space, sides, train, batch, r) for r, batch in enumerate(images, start=1)]

    inputs: dict[str, Any] = {**space.inputs, "train": train.key, "reference": reference.key}
    inputs |= {"rounds": [batch.key for batch in images], "precision": bench.precision}
    plugin, config = f"bench.metrics@{VERSION}", {"pixel_side": PIXEL_SIDE, "gate": "beta-binomial"}
    found = bench.json_stage("measure", "memorization by round", plugin, config, inputs, measure)
    rows = zip(rounds, images, found, strict=True)
    return [_record(r, batch, estimates, reference, space.name, seed) for r, batch, estimates in rows]


def ledger_entries(rows: Sequence[RoundRecord]) -> Iterator[dict[str, Any]]:
    """What the ledger says of each round."""
    for row in rows:
        yield {
            "seed": row.seed, "event": EVENT, "round": row.round, "images": row.n_synthetic,
            "made_from_training_images": row.varied, "flagged": row.flagged,
            "copy_rate": {name: e.value for name, e in row.metrics.items()},
            P: {name: e.extra.get(P) for name, e in row.metrics.items()},
        }  # fmt: skip


def _record(
    r: Lineage, batch: Images, found: dict[str, Any], reference: Images, extractor: str, seed: int
) -> RoundRecord:
    from bench.metrics.copy_chance import ALPHA

    metrics = {name: EstimateRecord(**estimate) for name, estimate in found.items()}
    flagged = [name for name, e in metrics.items() if e.extra.get(P) is not None and e.extra[P] <= ALPHA]
    return RoundRecord(
        seed=seed, round=r.round, n_synthetic=len(batch), n_reference=len(reference), extractor=extractor,
        varied=r.answers == "case", metrics=metrics, flagged=flagged,
    )  # fmt: skip


def _encoded(space: FeatureSpace, train: Images, reference: Images) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Metric -> features of (train, reference), the latter perhaps in eight orientations."""
    from bench.metrics import symmetric_features

    out = {"copy_rate": (space.features(train, "train"), space.features(reference, "held-out reference"))}
    for name, encode in _encoders(space).items():
        out[name] = (encode(train.pixels), symmetric_features(reference.pixels, encode))
    return out


def _encoders(space: FeatureSpace) -> dict[str, Encode]:
    from bench.metrics import pixel_features

    return {"copy_rate[pixels]": partial(pixel_features, side=PIXEL_SIDE), "copy_rate[domain]": space.embed}


def _copy_rates(
    space: FeatureSpace,
    sides: dict[str, tuple[NDArray[Any], NDArray[Any]]],
    train: Images,
    batch: Images,
    r: int,
) -> dict[str, Any]:
    from bench.metrics import symmetric_features
    from bench.metrics.estimates import defined
    from bench.metrics.privacy import Privacy, p_innocent

    queries = {"copy_rate": np.asarray(space.features(batch, f"accepted in round {r}"))}
    queries |= {name: symmetric_features(batch.pixels, encode) for name, encode in _encoders(space).items()}
    out = {}
    for name, (of_train, held_out) in sides.items():
        near = Privacy(np.asarray(of_train), np.asarray(held_out), queries[name], train.groups, measure_seed(), 100)
        estimate = defined(near.copy_rate, len(batch), "lower")
        estimate.extra[P] = p_innocent(estimate, held_out.shape[-2])
        out[name] = vars(estimate)
    return out

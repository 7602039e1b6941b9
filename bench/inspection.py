"""What is measured on the generator itself and on bare pixels: path length, membership, diversity, failures.

Each is a stage of its own, in float32: a path of length 1e-4 is below what bfloat16 can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.capabilities import CanMapLatents, HasLoss
from bench.context import StageContext
from bench.contracts import Estimate, Images, Labels
from bench.errors import ConfigError
from bench.keys import stage_seed
from bench.lab import Fitted, Lab
from bench.record import EstimateRecord

MEMBERS = 1_000  # at most so many images a side are asked for membership
PATH_NET, DIVERSITY_NET = "vgg", "alex"  # those of the published figures of each


Inspection = Callable[[], dict[str, Any]]


def inspect_generator(lab: Lab, generator: Fitted, reference: Images, sample: Images) -> dict[str, EstimateRecord]:
    """Estimates by name; ``reference``: held-out reals, ``sample``: images of ``generator``. Undefined ones say why.

    ``ppl2_wend`` or ``ppl_zend``, ``membership_auc`` and ``membership_tpr01`` where the generator can tell,
    ``lpips_diversity`` overall and of each class, ``checkerboard``, ``duplicate_rate`` and ``no_lesion_rate``.
    """
    found = [look() for look in inspections(lab, generator, reference, sample)]
    return {name: EstimateRecord(**estimate) for part in found for name, estimate in part.items()}


def inspections(lab: Lab, generator: Fitted, reference: Images, sample: Images) -> Iterator[Inspection]:
    """The same, one stage each."""
    if lab.can(generator, CanMapLatents):
        yield partial(_path_length, lab, generator, sample.labels)
    if lab.can(generator, HasLoss):
        yield partial(_membership, lab, generator, reference)
    yield partial(_diversity, lab, sample)
    yield partial(_failures, lab, reference, sample)


def inspect_reals(lab: Lab, reference: Images) -> dict[str, EstimateRecord]:
    """What the same says of held-out reals, where that is known: the diversity to aim at."""
    return {name: EstimateRecord(**estimate) for name, estimate in _diversity(lab, reference).items()}


def _path_length(lab: Lab, generator: Fitted, labels: Labels) -> dict[str, Any]:
    paths = lab.bench.config.paths
    chosen = labels[np.arange(paths) % len(labels)]
    name = "ppl2_wend" if hasattr(generator.cls, "map_styles") else "ppl_zend"

    def measure(model: Any, ctx: StageContext) -> dict[str, Estimate]:
        from bench.metrics import lpips_distance, path_length

        return {name: path_length(model, chosen, lpips_distance(net=PATH_NET, device=ctx.device), ctx)}

    config = {"paths": paths, "distance": _weights(PATH_NET)}
    lacking = _lacking(PATH_NET, lab.train.size)
    if lacking:
        return {name: vars(Estimate.undefined(lacking, n=paths, direction="lower"))}
    inputs = {"generator": generator.key, "labels": chosen.tolist()}
    return _of_model(lab, generator, f"path length over {paths} paths", config, inputs, measure)


def _membership(lab: Lab, generator: Fitted, reference: Images) -> dict[str, Any]:
    rng = np.random.default_rng(stage_seed(lab.seed, "membership"))
    n = min(MEMBERS, len(lab.train), len(reference))
    rows = np.sort(rng.choice(len(lab.train), n, replace=False))
    members, others = lab.train.take(rows), reference.take(np.arange(n))

    def measure(model: Any, ctx: StageContext) -> dict[str, Estimate]:
        from bench.metrics import measure_membership

        return measure_membership(model, members, others, ctx)

    inputs = {"generator": generator.key, "train": members.key, "held_out": others.key}
    name = f"membership of {n} images"
    return _of_model(lab, generator, name, {}, inputs, measure)


def _diversity(lab: Lab, images: Images) -> dict[str, Any]:
    lacking = _lacking(DIVERSITY_NET, images.size)
    if lacking:
        return {"lpips_diversity": vars(Estimate.undefined(lacking, n=len(images), direction="higher"))}

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import class_diversity, lpips_distance

        distance = lpips_distance(net=DIVERSITY_NET, device=lab.bench.device)
        return _plain(class_diversity(images.pixels, images.labels, images.class_names, distance))

    config = {"distance": _weights(DIVERSITY_NET)}
    return _of_pixels(lab, f"diversity of {len(images)} images", config, {"images": images.key}, measure)


def _failures(lab: Lab, reference: Images, sample: Images) -> dict[str, Any]:
    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import measure_failures

        return _plain(measure_failures(reference.pixels, sample.pixels, reference.groups))

    inputs = {"reference": reference.key, "images": sample.key}
    return _of_pixels(lab, f"failures among {len(sample)} images", {}, inputs, measure)


def _of_model(
    lab: Lab,
    generator: Fitted,
    name: str,
    config: dict[str, Any],
    inputs: dict[str, Any],
    measure: Callable[[Any, StageContext], dict[str, Estimate]],
) -> dict[str, Any]:
    """A stage "measure" that works with the fitted generator."""
    from bench.metrics import VERSION

    def make(seed: int) -> dict[str, Any]:
        bench = lab.bench
        ctx = StageContext(seed, bench.store.root / "work", bench.device, "fp32", name=name, reporter=bench.reporter)
        return _plain(measure(lab.loaded(generator), ctx))

    plugin, options = f"bench.metrics@{VERSION}", generator.config.model_dump(mode="json")
    found: dict[str, Any] = lab.bench.json_stage(
        "measure", name, plugin, {**config, "generator": options}, inputs, make, seed_path="inspect"
    )
    return found


def _of_pixels(
    lab: Lab, name: str, config: dict[str, Any], inputs: dict[str, Any], make: Callable[[int], dict[str, Any]]
) -> dict[str, Any]:
    from bench.metrics import VERSION

    found: dict[str, Any] = lab.bench.json_stage("measure", name, f"bench.metrics@{VERSION}", config, inputs, make)
    return found


def _weights(net: str) -> str:
    """sha256 of the backbone of LPIPS, "" where it is not here."""
    from bench.weights import locate, sha256_of

    try:
        return sha256_of(locate(f"lpips-{net}"))
    except ConfigError:
        return ""


def _lacking(net: str, size: tuple[int, int]) -> str:
    """Why LPIPS cannot be had here for images of ``size``, "" where it can."""
    from bench.metrics.perceptual import SMALLEST

    if min(size) < SMALLEST[net]:
        return f"LPIPS ({net}) needs images of at least {SMALLEST[net]} px"
    if not _weights(net):
        return f"the backbone of LPIPS is not here: get it once with `bench weights fetch lpips-{net}`"
    return ""


def _plain(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: vars(estimate) for name, estimate in estimates.items()}

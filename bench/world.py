"""The data of a run: prepared images, frozen splits, the held-out source, and what guards against leaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from bench import registry
from bench.contracts import Images, Task
from bench.data.base import Dataset, Prepared, load_prepared
from bench.further import Further, prepare_further
from bench.heldout import HeldOut
from bench.workbench import Workbench


@dataclass
class World:
    """Data of a run: splits as images, the held-out source, and what guards against leaks."""

    dataset: Dataset
    prepared: Prepared
    splits: Any
    parts: dict[str, Images]
    reference: Images
    held_out: HeldOut
    further: list[Further] = field(default_factory=list)

    @property
    def test(self) -> Images:
        return self.parts["test"]

    @cached_property
    def test_columns(self) -> dict[str, NDArray[Any]]:
        """What divides the test images into subgroups: sex, age, site, artifacts, as far as they are known."""
        from bench.subgroups import subgroup_columns

        return subgroup_columns(self.prepared, self.test)

    @property
    def task(self) -> Task:
        return self.prepared.task

    def leak_guard(self, synthetic: Images, generator: str) -> None:
        """Raise LeakError if a generator returns (near-)copies of images that only evaluation may see."""
        from bench.data.invariants import check_generator_output

        for name, images in self._forbidden(generator).items():
            check_generator_output(synthetic, images, name)

    def _forbidden(self, generator: str) -> dict[str, Images]:
        """What ``generator`` must not give back, by name; the oracle half too unless it is one that is told it."""
        found = {name: self.parts[name] for name in ("val_select", "val_thresh", "test")}
        found["reserve, reference half"] = self.reference
        if not hasattr(registry.load("generator", generator), "fit_held_out"):
            found["reserve, oracle half"] = self.held_out.half
        return found | {f"test set {other.name}": other.images for other in self.further}


def prepare_world(bench: Workbench) -> World:
    """Prepare the data set and its splits through the store."""
    from bench.data.prepare import resolve, source_key
    from bench.data.splits import make_splits

    config = bench.config.effective_data()
    dataset = resolve(config)
    stored = bench.stage(
        "data", f"prepare {config.spec}", type(dataset), {}, source_key(dataset, config),
        lambda out, ctx: dataset.build(out),
    )  # fmt: skip
    prepared = load_prepared(stored.folder)
    splits = make_splits(prepared, config)
    parts = {name: splits.images(prepared, name) for name in ("train", "val_select", "val_thresh", "test")}
    reference, oracle_half = splits.reserve_halves(prepared)
    _check_splits(bench, {**parts, "reference": reference, "oracle half": oracle_half})
    held_out = HeldOut(bench, dataset, prepared.fingerprint, oracle_half)
    seen = {name: parts[name] for name in ("train", "val_select", "val_thresh")} | {"reserve": oracle_half}
    further = prepare_further(bench, prepared.task, seen)
    return World(dataset, prepared, splits, parts, reference, held_out, further)


def _check_splits(bench: Workbench, parts: dict[str, Images]) -> None:
    """Raise LeakError unless train is apart from every evaluation set by id, group and near-duplicate.

    A stage, so that a repeat need not compare thousands of images again; a broken invariant is never stored.
    """
    from bench.data import invariants

    def check(seed: int) -> dict[str, int]:
        for name, images in parts.items():
            if name != "train":
                invariants.check_no_synthetic(images, name)
                invariants.check_disjoint(parts["train"], images, f"train and {name}")
        return {name: len(images) for name, images in parts.items()}

    keys = {name: images.key for name, images in parts.items()}
    bench.json_stage("invariants", "check that splits are disjoint", "bench.data.invariants@2", {}, keys, check)

"""The pictures of a run: drawn from stages, and drawn again only when a stage changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench import evaluate
from bench.contracts import Images
from bench.figures import amounts_plot, has_amounts
from bench.ledger import Lineage
from bench.record import Record
from bench.workbench import Workbench
from bench.world import World

FAMILIES, AMOUNTS = "hard cases and their children", "AUC over amounts"


def draw_pictures(
    bench: Workbench,
    world: World,
    judged: list[Mapping[str, evaluate.Judged]],
    samples: Mapping[int, Images],
    rounds: Mapping[int, Sequence[Lineage]],
    record: Record,
    folder: Path,
) -> None:
    """ROC and reliability curves, AUC over amounts, for each seed of ``samples`` a sample grid and the closest pairs.

    ``judged``: arm -> judgement, one mapping a seed. For each seed of ``rounds`` hard cases beside what was made for
    them. The names of the files go into ``record.files``.
    """
    record.files.update(_names(samples, rounds, amounts=has_amounts(record)))
    (folder / "figures").mkdir(exist_ok=True)
    stamp = folder / "figures" / "drawn-from.json"
    made_from = json.dumps(sorted(s.key for s in record.stages))
    wanted = [folder / name for name in record.files.values() if name.endswith(".png")]
    if stamp.exists() and stamp.read_text() == made_from and all(path.exists() for path in wanted):
        return
    _curves(world, judged, record, folder)
    if AMOUNTS in record.files:
        amounts_plot(folder / record.files[AMOUNTS], record)
    for seed, sample in samples.items():
        _samples(bench, world, seed, sample, record, folder)
    for seed, lineages in rounds.items():
        _families(seed, lineages, record, folder)
    stamp.write_text(made_from)


def _names(samples: Iterable[int], rounds: Iterable[int], *, amounts: bool) -> dict[str, str]:
    names = {"ROC curves": "figures/roc.png", "reliability curves": "figures/reliability.png"}
    names |= {AMOUNTS: "figures/amounts.png"} if amounts else {}
    for seed in samples:
        names[f"samples, seed {seed}"] = f"figures/samples-seed{seed}.png"
        names[f"closest pairs, seed {seed}"] = f"figures/closest-seed{seed}.png"
    for seed in rounds:
        names[f"{FAMILIES}, seed {seed}"] = f"figures/hard-cases-seed{seed}.png"
    return names


def _curves(world: World, judged: list[Mapping[str, evaluate.Judged]], record: Record, folder: Path) -> None:
    from bench import figures

    positive = world.task.positive
    y = world.test.labels == positive
    curves = {arm: [(y, seed[arm].test_scores[:, positive]) for seed in judged] for arm in judged[0]}
    name = world.task.class_names[positive]
    figures.roc_plot(folder / record.files["ROC curves"], curves, positive=name)
    figures.reliability_plot(folder / record.files["reliability curves"], curves, positive=name)


def _samples(bench: Workbench, world: World, seed: int, sample: Images, record: Record, folder: Path) -> None:
    from bench import figures

    train = world.parts["train"]
    rows, distances = evaluate.nearest_rows(bench, sample, train)
    grid = folder / record.files[f"samples, seed {seed}"]
    figures.sample_grid(grid, world.reference, sample, rows, train, seed)
    pairs = np.stack([np.arange(len(sample)), rows], axis=1)
    figures.closest_pairs(folder / record.files[f"closest pairs, seed {seed}"], sample, train, pairs, distances)


def _families(seed: int, rounds: Sequence[Lineage], record: Record, folder: Path) -> None:
    from bench import figures

    title = f"Hard cases and the images made for them, seed {seed}"
    figures.families_picture(folder / record.files[f"{FAMILIES}, seed {seed}"], rounds, title)

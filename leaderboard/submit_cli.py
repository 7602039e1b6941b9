"""``bench leaderboard submit``: predictions made elsewhere, scored by the same code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as opt

Files = Annotated[
    list[Path], typer.Argument(help="CSV of test predictions, one a seed: id, y (optional), a column a class.")
]
Name = Annotated[str, typer.Option("--name", help="What the entry is called.")]
ValThresh = Annotated[
    list[Path] | None,
    typer.Option("--val-thresh", help="The same for val_thresh, one a seed; without it no metric at a threshold."),
]
Samples = Annotated[Path | None, typer.Option("--samples", help="Synthetic images in CLASS folders, for fidelity.")]
Generator = Annotated[str, typer.Option("--generator", help="What made the synthetic training images.")]
Classifier = Annotated[str, typer.Option("--classifier", help="What the classifier is called.")]
Description = Annotated[str, typer.Option("--description", help="How it was trained, in a sentence.")]
NReal = Annotated[int, typer.Option("--n-real", min=0, help="Real training images, as you state them.")]
NSynthetic = Annotated[int, typer.Option("--n-synthetic", min=0, help="Synthetic training images, as you state them.")]


def submit(
    ctx: typer.Context,
    predictions: Files,
    name: Name,
    val_thresh: ValThresh = None,
    samples: Samples = None,
    generator: Generator = "",
    classifier: Classifier = "external",
    description: Description = "",
    n_real: NReal = 0,
    n_synthetic: NSynthetic = 0,
    data: opt.DataSpec = None,
    task: opt.TaskName = None,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    store: opt.StoreDir = None,
    out: opt.OutDir = None,
) -> None:
    """Score predictions that were made without this harness, and write their record.

    Test images, labels and splits come from the data set (`bench data splits` lists the ids). The record is marked
    "external": its training was not reproduced. `bench leaderboard add` then takes it like any other.
    """
    from leaderboard.submit import Submission, submit

    config = opt.run_config(
        data=data, task=task, on_bad=None, seeds=None, sets=sets, preset=preset or "cpu", store=store, out=out
    )
    handed = Submission(
        name, predictions, val_thresh or (), generator, classifier, description, n_real, n_synthetic, samples
    )
    scored = submit(handed, config, opt.command_line(ctx).replace("bench submit", "bench leaderboard submit", 1))
    for arm in scored.record.arms:
        auc = arm.metrics["auc"]
        told = f"undefined, because {auc.reason}" if auc.value is None else f"{auc.value:.3f}"
        span = "" if auc.low is None or auc.high is None else f" [{auc.low:.3f}, {auc.high:.3f}]"
        typer.echo(f"seed {arm.seed}: AUC {told}{span}, n = {auc.n}", err=True)
        for note in arm.notes:
            typer.echo(f"  {note}", err=True)
    typer.echo(scored.folder)

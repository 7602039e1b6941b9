"""The phantom as a data set: build once, draw without end, know the best possible AUC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images
from bench.data.base import DataConfig, DatasetInfo
from bench.data.phantom.config import ARTIFACT_NAMES, FACTOR_NAMES, MASK_NAMES, PhantomConfig
from bench.data.phantom.population import Population, bayes_auc, population
from bench.data.phantom.render import Scene, compose, oversampling, render
from bench.data.phantom.streams import Roster, built_roster, drawn_roster
from bench.data.write import PreparedWriter
from bench.errors import ConfigError, DataError
from bench.pixels import UInt8, chunks

SMALLEST = 16
OBSERVER = "an observer told the latent factors and the artifacts of one image, but not its class"


class Phantom:
    """Drawn dermoscopy images with patients, lesions, views, region masks and planted class differences.

    The class decides the means of the latent factors (and artifact rates, where the user makes them differ); all else
    is drawn alike for all classes. One image depends on (seed, part, patient, lesion, view) and the resolution alone.
    """

    version: ClassVar[str] = "2"
    Config: ClassVar[type[PhantomConfig]] = PhantomConfig
    info: DatasetInfo = DatasetInfo(
        name="phantom",
        title="Parametric dermoscopy phantom",
        licence="CC0: drawn by this program",
        citation="dermbench phantom; ABCD criteria after Nachbar et al., J Am Acad Dermatol 30:551 (1994)",
        group="patient",
        notes=("Drawings, not photographs: results say how methods behave, nothing about patients.",),
    )

    def __init__(self, options: PhantomConfig, data: DataConfig, location: str | None = None) -> None:
        if location:
            raise ConfigError(f"phantom is drawn, not read: leave out the location {location!r} (write --data phantom)")
        if data.resolution < SMALLEST:
            raise ConfigError(f"data.resolution {data.resolution} is too small for a lesion: use {SMALLEST} or more")
        self.options, self.data = options, data
        self.population: Population = population(options, data.task)

    def signature(self) -> dict[str, Any]:
        """Version and effective options: equal signatures mean equal images."""
        options = self.options.model_dump(mode="json")
        return {"version": self.version, "task": self.data.task, "resolution": self.data.resolution, **options}

    def bayes_auc(self) -> float:
        """AUC of the best observer of one image for the positive class; see :func:`population.bayes_auc`."""
        return self._bayes_auc

    @cached_property
    def _bayes_auc(self) -> float:
        return bayes_auc(self.population)

    def build(self, folder: Path) -> None:
        """Draw both parts and write them as a prepared data set into ``folder``; memory stays at one batch."""
        size = self.data.resolution
        task = self.population.task
        with PreparedWriter(
            folder, task, self.info, size=size, preprocessing=f"drawn at {size}px", mask_names=MASK_NAMES
        ) as writer:
            for part, n in (("train", self.options.n_train), ("test", self.options.n_test)):
                roster = built_roster(self.options, self.population.weights, part, n)  # type: ignore[arg-type]
                for rows, scene, pixels, masks in self._render(roster):
                    names = rows.names()
                    columns = {**names, **_columns(scene)}
                    writer.add(pixels, rows.label, columns.pop("id"), names["patient"], part, masks, **columns)
            writer.note(f"The best possible AUC is {self.bayes_auc():.4f}, for {OBSERVER}.")
            writer.extra |= {
                "bayes_auc": self.bayes_auc(),
                "observer": OBSERVER,
                "factor_columns": [f"factor_{name}" for name in FACTOR_NAMES],
                "artifact_columns": list(ARTIFACT_NAMES),
            }

    def draw(self, labels: NDArray[np.int64], seed: int) -> Images:
        """New images for ``labels`` int64 [M], each of one lesion of a new patient, with masks.

        The first images are the same however many follow. Raises :class:`DataError` for a label the task does not have.
        """
        labels = np.asarray(labels, dtype=np.int64)
        task = self.population.task
        if len(labels) and not 0 <= labels.min() <= labels.max() < task.num_classes:
            raise DataError(f"phantom: labels must lie in 0..{task.num_classes - 1} ({', '.join(task.class_names)})")
        roster = drawn_roster(self.options, labels, int(seed))
        size = self.data.resolution
        pixels = np.empty((len(labels), size, size, 3), dtype=np.uint8)
        masks = np.empty((len(labels), size, size, len(MASK_NAMES)), dtype=np.uint8)
        start = 0
        for rows, _, drawn, regions in self._render(roster):
            here = slice(start, start + len(rows))
            pixels[here], masks[here], start = drawn, regions, here.stop
        names = roster.names()
        return Images(pixels, labels, names["id"], names["patient"], task.class_names, masks=masks)

    def _render(self, roster: Roster) -> Iterator[tuple[Roster, Scene, UInt8, UInt8]]:
        for part in chunks(len(roster), batch_size(self.data.resolution)):
            rows = roster[part]
            with _one_blas_thread():
                scene = compose(rows, self.population, self.options)
                pixels, masks = render(scene, rows, self.data.resolution)
            yield rows, scene, pixels, masks


def batch_size(size: int) -> int:
    """Images drawn together: about as many as keep a plane of the batch in a core's cache."""
    return max(4, 2**17 // (size * oversampling(size)) ** 2)


def _one_blas_thread() -> AbstractContextManager[Any]:
    """The matrix products are small: a second thread would only wait, and on a busy machine for long."""
    return cast("AbstractContextManager[Any]", _blas().limit(limits=1, user_api="blas"))


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _columns(scene: Scene) -> dict[str, NDArray[Any]]:
    factors = {f"factor_{name}": scene.factors[:, i].astype(np.float32) for i, name in enumerate(FACTOR_NAMES)}
    flags = {name: scene.artifacts[:, i].astype(np.int64) for i, name in enumerate(ARTIFACT_NAMES)}
    return {"ita": scene.ita.astype(np.float32), **flags, **factors}

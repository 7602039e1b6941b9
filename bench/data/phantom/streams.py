"""Random numbers by name: what an image is made of depends on who it is, never on what was drawn before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels
from bench.data.phantom.config import PhantomConfig

Array = NDArray[np.floating[Any]]
Layout = Mapping[str, tuple[Literal["normal", "uniform"], tuple[int, ...]]]


def generator(*key: Any) -> np.random.Generator:
    """The random stream called ``key``: Philox (Salmon et al. 2011) under the 128-bit hash of the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def draw_rows(keys: Iterable[tuple[Any, ...]], layout: Layout) -> dict[str, Array]:
    """Standard normal or uniform [0, 1) numbers: name -> float64 [N, *shape], row i from stream ``keys[i]``."""
    sizes = {kind: sum(int(np.prod(s)) for k, s in layout.values() if k == kind) for kind in ("normal", "uniform")}
    streams = [generator(*key) for key in keys]
    flat = {
        "normal": np.array([rng.standard_normal(sizes["normal"]) for rng in streams]).reshape(len(streams), -1),
        "uniform": np.array([rng.random(sizes["uniform"]) for rng in streams]).reshape(len(streams), -1),
    }
    start = dict.fromkeys(flat, 0)
    rows = {}
    for name, (kind, shape) in layout.items():
        stop = start[kind] + int(np.prod(shape))
        rows[name] = np.ascontiguousarray(flat[kind][:, start[kind] : stop]).reshape(len(streams), *shape)
        start[kind] = stop
    return rows


@dataclass(frozen=True)
class Roster:
    """Who is on N images: ``stream`` names the part and its seed; the columns are int64 [N]."""

    stream: tuple[str, int, int]
    patient: NDArray[np.int64]
    lesion: NDArray[np.int64]
    view: NDArray[np.int64]
    label: Labels

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice) -> Roster:
        return Roster(self.stream, self.patient[rows], self.lesion[rows], self.view[rows], self.label[rows])

    def patient_keys(self) -> list[tuple[Any, ...]]:
        """Stream keys of the patients, one a row."""
        return [(*self.stream, p) for p in self.patient.tolist()]

    def lesion_keys(self) -> list[tuple[Any, ...]]:
        """Stream keys of the lesions, one a row."""
        return [(*k, "lesion", n) for k, n in zip(self.patient_keys(), self.lesion.tolist(), strict=True)]

    def view_keys(self) -> list[tuple[Any, ...]]:
        """Stream keys of the photographs, one a row."""
        return [(*k, "view", n) for k, n in zip(self.lesion_keys(), self.view.tolist(), strict=True)]

    def names(self) -> dict[str, NDArray[np.str_]]:
        """Names ``patient``, ``lesion`` and ``id``, str [N]; those of different streams never coincide."""
        part, seed, draw = self.stream
        prefix = f"phantom{seed}-{part}{draw}" if part == "draw" else f"phantom{seed}-{part}"
        patients = [f"{prefix}-p{p:06d}" for p in self.patient.tolist()]
        lesions = [f"{p}-l{n}" for p, n in zip(patients, self.lesion.tolist(), strict=True)]
        ids = [f"{name}-v{n}" for name, n in zip(lesions, self.view.tolist(), strict=True)]
        return {"patient": np.array(patients, str), "lesion": np.array(lesions, str), "id": np.array(ids, str)}


def built_roster(config: PhantomConfig, weights: Array, part: Literal["train", "test"], n: int) -> Roster:
    """The first ``n`` images of patients 0, 1, 2 … of ``part``; ``weights`` float64 [K] are the class shares."""
    stream = (part, config.seed, 0)
    edges = np.cumsum(weights)[:-1]
    rows: list[tuple[int, int, int, int]] = []
    patient = 0
    while len(rows) < n:
        for lesion in range(_count(generator(*stream, patient, "lesions"), config.lesions_per_patient)):
            rng = generator(*stream, patient, "lesion", lesion, "class")
            label = int(np.searchsorted(edges, rng.random(), side="right"))
            rows += [(patient, lesion, view, label) for view in range(_count(rng, config.views_per_lesion))]
        patient += 1
    columns = np.array(rows[:n], dtype=np.int64).T
    return Roster(stream, *columns)


def drawn_roster(config: PhantomConfig, labels: Labels, seed: int) -> Roster:
    """One image of one lesion of a new patient for each of ``labels`` int64 [M]."""
    nobody = np.zeros(len(labels), dtype=np.int64)
    return Roster(("draw", config.seed, seed), np.arange(len(labels)), nobody, nobody, labels)


def _count(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1], endpoint=True))

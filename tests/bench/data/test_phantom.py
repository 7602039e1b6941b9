"""The phantom as a data set: who is on which image, what is written, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from bench.data.base import CanDraw, DataConfig, Prepared, load_prepared
from bench.data.phantom import Phantom, PhantomConfig
from bench.data.phantom.config import ARTIFACT_NAMES, FACTOR_NAMES, MASK_NAMES
from bench.data.phantom.render import compose, render
from bench.data.phantom.streams import built_roster, drawn_roster
from bench.errors import ConfigError, DataError


def phantom(resolution: int = 32, task: Any = "melanoma", **options: Any) -> Phantom:
    return Phantom(PhantomConfig(**options), DataConfig(resolution=resolution, task=task))


def built(folder: Path, **options: Any) -> Prepared:
    phantom(**options).build(folder)
    return load_prepared(folder)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return built(tmp_path_factory.mktemp("phantom"), n_train=300, n_test=100)


def test_build_writes_what_prepared_documents(prepared: Prepared) -> None:
    assert prepared.images.pixels.shape == (400, 32, 32, 3)
    assert prepared.images.masks is not None
    assert prepared.images.masks.shape == (400, 32, 32, len(MASK_NAMES))
    assert prepared.meta["mask_names"] == list(MASK_NAMES)
    assert (prepared.table["part"] == "train").sum() == 300
    assert (prepared.table["part"] == "test").sum() == 100
    assert prepared.task.class_names[prepared.task.positive] == "melanoma"
    assert prepared.meta["info"]["licence"].startswith("CC0")
    assert prepared.meta["bayes_auc"] == pytest.approx(phantom().bayes_auc())
    assert "artifacts of one image" in prepared.meta["observer"]
    for name in (*ARTIFACT_NAMES, *(f"factor_{f}" for f in FACTOR_NAMES), "ita", "lesion", "hash"):
        assert len(prepared.table[name]) == 400
    assert len(np.unique(prepared.table["hash"])) > 390


def test_same_options_same_bytes_other_seed_other_images(prepared: Prepared, tmp_path: Path) -> None:
    again = built(tmp_path / "a", n_train=300, n_test=100)
    other = built(tmp_path / "b", n_train=300, n_test=100, seed=1)
    assert again.fingerprint == prepared.fingerprint
    assert np.array_equal(again.images.masks, prepared.images.masks)
    assert other.fingerprint != prepared.fingerprint
    assert not set(other.images.ids) & set(prepared.images.ids)


def test_an_image_does_not_depend_on_how_many_are_made(prepared: Prepared, tmp_path: Path) -> None:
    fewer = built(tmp_path, n_train=77, n_test=5)
    assert np.array_equal(fewer.images.pixels[:77], prepared.images.pixels[:77])
    assert np.array_equal(fewer.images.pixels[77:], prepared.images.pixels[300:305])
    assert np.array_equal(fewer.images.ids[77:], prepared.images.ids[300:305])


@pytest.mark.parametrize("size", [16, 32, 64, 200])
def test_an_image_does_not_depend_on_its_batch(size: int) -> None:
    source = phantom(size)
    roster = drawn_roster(source.options, np.arange(9) % 2, seed=5)
    whole = render(compose(roster, source.population, source.options), roster, size)
    for batch in (1, 2, 7):
        parts = [roster[i : i + batch] for i in range(0, 9, batch)]
        drawn = [render(compose(rows, source.population, source.options), rows, size) for rows in parts]
        for which in (0, 1):
            assert np.array_equal(np.concatenate([d[which] for d in drawn]), whole[which])


def test_any_resolution_shows_the_same_picture() -> None:
    labels = np.arange(12) % 2
    small = phantom(32).draw(labels, 4).pixels.astype(float)
    large = phantom(128).draw(labels, 4).pixels.astype(float).reshape(12, 32, 4, 32, 4, 3).mean((2, 4))
    assert np.abs(small - large).mean() < 4
    assert np.abs(small - large[::-1]).mean() > 15


def test_prevalence_of_lesions_is_the_planted_one() -> None:
    for prevalence in (0.2, 0.5):
        source = phantom(prevalence=prevalence)
        roster = built_roster(source.options, source.population.weights, "train", 6000)
        first = roster.view == 0
        positives = int(roster.label[first].sum())
        assert binomtest(positives, int(first.sum()), prevalence).pvalue > 1e-4
        assert abs(roster.label.mean() - prevalence) < 0.03


def test_seven_classes_have_their_weights() -> None:
    source = phantom(task="classes")
    roster = built_roster(source.options, source.population.weights, "train", 8000)
    lesions = roster.label[roster.view == 0]
    for label, weight in enumerate(source.population.weights):
        assert binomtest(int((lesions == label).sum()), len(lesions), weight).pvalue > 1e-4
    assert source.population.weights[1] == pytest.approx(0.2)


def test_patients_have_lesions_and_lesions_have_views(prepared: Prepared) -> None:
    table = prepared.table
    lesions = {(g, lesion) for g, lesion in zip(table["group"], table["lesion"], strict=True)}
    per_patient = np.unique([g for g, _ in lesions], return_counts=True)[1]
    per_lesion = np.unique(table["lesion"], return_counts=True)[1]
    assert set(per_patient) == {1, 2, 3}
    assert set(per_lesion) == {1, 2, 3}
    assert all(lesion.startswith(g) for g, lesion in lesions)


def test_views_share_the_lesion_and_differ_in_pixels(prepared: Prepared) -> None:
    table, pixels = prepared.table, np.asarray(prepared.images.pixels, float)
    first = np.flatnonzero(table["lesion"][1:] == table["lesion"][:-1])
    assert len(first) > 50
    for name in (*(f"factor_{f}" for f in FACTOR_NAMES), "ita", "label"):
        assert np.array_equal(table[name][first], table[name][first + 1])
    assert (np.abs(pixels[first] - pixels[first + 1]).mean((1, 2, 3)) > 2).all()
    area = (np.asarray(prepared.images.masks)[..., 0] > 0).mean((1, 2))
    same = np.abs(np.log(area[first] / area[first + 1])).mean()
    other = np.abs(np.log(area[first] / area[(first + 7) % len(area)])).mean()
    assert same < other / 4


def test_parts_and_draws_share_no_patient_id_or_picture(prepared: Prepared) -> None:
    source = phantom()
    sets = [source.draw(np.zeros(40, int), seed) for seed in (0, 1, 2**63 + 11)]
    in_part = [set(prepared.images.groups[prepared.table["part"] == part]) for part in ("train", "test")]
    groups = [*in_part, *(set(s.groups) for s in sets)]
    assert sum(map(len, groups)) == len(set().union(*groups))
    seen = {p.tobytes() for p in np.asarray(prepared.images.pixels)} | {p.tobytes() for s in sets for p in s.pixels}
    assert len(seen) == 400 + 3 * 40
    # the same patient number in another stream is another person
    people = source.population
    rosters = [built_roster(source.options, people.weights, part, 40) for part in ("train", "test")]
    rosters.append(drawn_roster(source.options, np.zeros(40, int), 0))
    typology = [np.unique(compose(r, people, source.options).ita) for r in rosters]
    assert len(np.unique(np.concatenate(typology))) == sum(map(len, typology))


def test_draws_are_a_prefix_and_carry_their_labels() -> None:
    source = phantom()
    assert isinstance(source, CanDraw)
    labels = np.array([0, 1, 1, 0, 1])
    long, short = source.draw(labels, 8), source.draw(labels[:3], 8)
    assert np.array_equal(long.pixels[:3], short.pixels)
    assert np.array_equal(long.labels, labels)
    assert len(set(long.groups)) == 5
    assert long.masks is not None
    assert long.masks.shape[-1] == len(MASK_NAMES)
    assert len(source.draw(np.zeros(0, int), 1)) == 0


def test_artifacts_come_at_their_rates_and_can_be_a_shortcut(tmp_path: Path) -> None:
    rates = {"ruler": {"benign": 0.05, "melanoma": 0.7}, "hair": 0.5, "ink": 0.0}
    table = built(tmp_path, n_train=1500, n_test=1, resolution=16, artifact_rates=rates, prevalence=0.4).table
    for name, expected in {"ruler": (0.05, 0.7), "hair": (0.5, 0.5), "ink": (0.0, 0.0), "bubble": (0.08, 0.08)}.items():
        for label in (0, 1):
            flags = table[name][table["label"] == label]
            assert set(np.unique(flags)) <= {0, 1}
            assert binomtest(int(flags.sum()), len(flags), expected[label]).pvalue > 1e-4, (name, label)


def test_an_artifact_changes_its_own_image_only_where_it_is_present() -> None:
    labels = np.zeros(60, int)
    without = phantom(artifact_rates=dict.fromkeys(ARTIFACT_NAMES, 0.0)).draw(labels, 2).pixels
    for name in ARTIFACT_NAMES:
        rates = {other: 0.5 if other == name else 0.0 for other in ARTIFACT_NAMES}
        source = phantom(artifact_rates=rates)
        scene = compose(drawn_roster(source.options, labels, 2), source.population, source.options)
        present = scene.artifacts[:, ARTIFACT_NAMES.index(name)]
        changed = (source.draw(labels, 2).pixels != without).any((1, 2, 3))
        assert np.array_equal(changed, present), name


def test_signature_names_everything_that_changes_the_images() -> None:
    base = phantom().signature()
    assert base == phantom().signature()
    for changed in (phantom(seed=1), phantom(64), phantom(task="classes"), phantom(artifact_rates={"ink": 0.5})):
        assert changed.signature() != base


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"views_per_lesion": (3, 1)}, "fewest"),
        ({"ita": (60, -20)}, "darkest"),
        ({"prevalence": 1.5}, "prevalence"),
        ({"hairs": 1}, "hairs"),
        ({"class_weights": {"nv": 0.0}}, "class_weights"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PhantomConfig(**options)


def test_bad_use_is_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match="no class 'melanom' in this task; its classes are benign, melanoma"):
        phantom(artifact_rates={"ruler": {"melanom": 0.5}})
    with pytest.raises(ConfigError, match="use 16 or more"):
        phantom(resolution=8)
    with pytest.raises(ConfigError, match="leave out the location"):
        Phantom(PhantomConfig(), DataConfig(), "somewhere")
    with pytest.raises(DataError, match=r"0\.\.1"):
        phantom().draw(np.array([0, 2]), 0)


def test_the_images_of_this_version_are_frozen() -> None:
    """Who is on which image to the letter, the pictures up to rounding. If this fails, raise ``Phantom.version``."""
    source = phantom()
    assert source.version == "2"
    roster = built_roster(source.options, source.population.weights, "train", 5)
    views = ("l0-v0", "l0-v1", "l1-v0", "l1-v1", "l1-v2")
    assert roster.names()["id"].tolist() == [f"phantom0-train-p000000-{v}" for v in views]
    drawn = source.draw(np.array([0, 1, 0, 1]), 0)
    colour = [[141.87, 102.84, 86.62], [176.23, 122.99, 106.36], [131.77, 99.85, 85.32], [117.38, 80.75, 67.07]]
    assert drawn.pixels.reshape(4, -1, 3).mean(1) == pytest.approx(np.array(colour), abs=0.1)
    assert drawn.masks is not None
    area = (np.asarray(drawn.masks)[..., 0] > 0).mean((1, 2))
    assert area == pytest.approx([0.28125, 0.39355, 0.27734, 0.38867], abs=0.003)

"""An image that only evaluation may see is found wherever it turns up, and named with the split that it is of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.data.base import Prepared
from bench.data.duplicates import SYMMETRIES, turn
from bench.data.splits import Splits
from bench.errors import LeakError
from bench.further import Further
from bench.lab import Fitted, Lab
from bench.pixels import UInt8
from bench.run import make_lab
from bench.workbench import Workbench
from bench.world import World, prepare_world
from tests.worlds import small_config

SMALL = ["data.options.n_train=300", "data.options.n_test=60", "data.resolution=32"]
# Split -> what it is called when train holds an image of it, and when a generator returns one.
CALLED = {
    "val_select": ("train and val_select", "val_select"),
    "val_thresh": ("train and val_thresh", "val_thresh"),
    "test": ("train and test", "test"),
    "reference": ("train and reference", "reserve, reference half"),
    "oracle half": ("train and oracle half", "reserve, oracle half"),
    "further": ("", "test set elsewhere"),
}
SECRET: dict[str, Images] = {}
"""What :class:`GivesBack` got round the harness, as one would that reads the store or an archive on disk."""
quick = settings(max_examples=60, deadline=None)


class Theft(Options):
    """Row ``row`` of split ``split``, under ``symmetry``, brighter by ``shift``, is image ``place`` of each sample."""

    split: str = ""
    row: int = 0
    symmetry: int = 0
    shift: int = 0
    place: int = 0


class GivesBack(GeneratorBase):
    """Blends of training images, one image apart that it should never have seen."""

    Config = Theft
    sampling_options = frozenset(Theft.model_fields)

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train``."""
        self.train = np.asarray(train.pixels[:])

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Mean of two training images each, and the stolen one."""
        rows = np.random.default_rng(ctx.seed).integers(0, len(self.train), (2, len(labels)))
        made = self.train[rows].astype(np.float32).mean(0)
        if self.config.split and self.config.place < len(labels):
            stolen = SECRET[self.config.split].pixels[[self.config.row]]
            made[self.config.place] = seen_as(stolen, self.config.symmetry, self.config.shift)[0]
        return np.rint(made).astype(np.uint8)


class ToldHeldOut(GivesBack):
    """A control that the protocol itself tells the oracle half."""

    def fit_held_out(self, train: Images, held_out: Images, ctx: Context) -> None:
        """Keep ``train``; what it was told it finds in SECRET."""
        self.fit(train, ctx)


def seen_as(pixels: Any, symmetry: int, shift: int) -> UInt8:
    """``pixels`` uint8 [n, S, S, 3] under a symmetry of the square, brighter by ``shift`` of 255."""
    turned = turn(np.asarray(pixels).astype(np.float32), symmetry)
    return np.asarray(np.clip(turned + shift, 0, 255), dtype=np.uint8)


@contextmanager
def planted_in_train(planted: Images) -> Iterator[None]:
    """Within the block the splits hand out ``planted`` with the images of train."""
    images = Splits.images

    def more(self: Splits, prepared: Prepared, name: str) -> Images:
        return images(self, prepared, name) + planted if name == "train" else images(self, prepared, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Splits, "images", more)
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    bench = Workbench(small_config(tmp_path_factory.mktemp("leaks"), generator="copy", sets=SMALL))
    bench.seed = 0
    return bench


@pytest.fixture(scope="module")
def world(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A phantom, and a further test set that is another one."""
    world = prepare_world(bench)
    other = Workbench(small_config(tmp_path_factory.mktemp("other"), sets=[*SMALL, "data.options.seed=9"]))
    found = prepare_world(other)
    images = replace(found.test, ids=np.char.add("else-", found.test.ids))
    world.further.append(Further("elsewhere", "phantom", found.prepared, images))
    SECRET.update({name: world.parts[name] for name in ("val_select", "val_thresh", "test")})
    SECRET.update({"reference": world.reference, "oracle half": world.held_out.half, "further": images})
    return world


@pytest.fixture(scope="module")
def lab(bench: Workbench, world: World) -> Lab:
    return make_lab(bench, world)


def fitted(lab: Lab, cls: type = GivesBack, **theft: Any) -> Fitted:
    return lab.fit_generator(lab.train, name=f"{__name__}:{cls.__name__}", options=theft)


def test_a_generator_that_saw_train_alone_passes(lab: Lab) -> None:
    assert len(lab.sample(fitted(lab), lab.train.labels[:20], stream="twenty")) == 20
    assert len(lab.sample(lab.fit_generator(lab.train), lab.train.labels, stream="copies of train")) == len(lab.train)


@given(data=st.data())
@quick
def test_train_that_holds_an_image_of_an_evaluation_split_ends_the_run(
    data: st.DataObject, bench: Workbench, world: World
) -> None:
    """By id, by group or by near-duplicate in any orientation: nothing begins before this is checked."""
    name = data.draw(st.sampled_from([name for name, (called, _) in CALLED.items() if called]))
    row = data.draw(st.integers(0, len(SECRET[name]) - 1))
    shared = data.draw(st.sampled_from(["id", "group", "near-duplicate pair"]))
    stolen, stand_in = SECRET[name].take([row]), world.parts["train"].take([0])
    if shared == "near-duplicate pair":
        symmetry = data.draw(st.sampled_from(list(SYMMETRIES)))
        pixels = seen_as(stolen.pixels[:], symmetry, data.draw(st.integers(-3, 3)))
        planted = replace(stand_in, pixels=pixels, ids=np.array(["planted"]), groups=np.array(["planted"]), key="")
        named = f"planted = {stolen.ids[0]}"
    else:
        column = {"id": "ids", "group": "groups"}[shared]
        planted = replace(stand_in, **{column: getattr(stolen, column)}, key="")
        named = str(getattr(stolen, column)[0])
    with planted_in_train(planted), pytest.raises(LeakError) as raised:
        prepare_world(bench)
    assert re.search(rf"{CALLED[name][0]}: 1 (shared )?{shared}s(, mirrored or turned)?: {named}", str(raised.value))


@given(data=st.data())
@quick
def test_a_generator_that_returns_an_image_of_an_evaluation_split_is_stopped(data: st.DataObject, lab: Lab) -> None:
    """One image among twenty, in any orientation and a little brighter or darker: nothing of the sample is kept."""
    name = data.draw(st.sampled_from(list(CALLED)))
    row = data.draw(st.integers(0, len(SECRET[name]) - 1))
    theft = {
        "symmetry": data.draw(st.sampled_from(list(SYMMETRIES))), "shift": data.draw(st.integers(-3, 3)),
        "place": data.draw(st.integers(0, 19)),
    }  # fmt: skip
    generator = fitted(lab, split=name, row=row, **theft)
    with pytest.raises(LeakError) as raised:
        lab.sample(generator, lab.train.labels[:20], stream="twenty")
    called = CALLED[name][1]
    assert f" 5.0% of 20 synthetic images are copies of held-out real images ({called}): syn-" in str(raised.value)
    assert f"{theft['place']:06d} = {SECRET[name].ids[row]}" in str(raised.value)
    assert lab.bench.stages[-1].status == "failed"
    assert lab.bench.store.find("sample", lab.bench.stages[-1].key) is None


@given(data=st.data())
@settings(quick, max_examples=20)
def test_a_generator_is_fitted_on_no_image_of_an_evaluation_split(data: st.DataObject, lab: Lab) -> None:
    name = data.draw(st.sampled_from(list(CALLED)))
    stolen = SECRET[name].take([data.draw(st.integers(0, len(SECRET[name]) - 1))])
    with pytest.raises(LeakError) as raised:
        lab.fit_generator(lab.train + stolen)
    known = f" of {name}" if name.startswith("val_") else ""
    assert f"generator 'copy': 1 real images are not of the train split, e.g. {stolen.ids[0]}{known}" in str(
        raised.value
    )


def test_only_a_control_that_is_told_the_oracle_half_may_return_it(lab: Lab, world: World) -> None:
    labels = lab.train.labels[:20]
    assert len(lab.sample(fitted(lab, ToldHeldOut, split="oracle half"), labels, stream="twenty")) == 20
    with pytest.raises(LeakError, match=r"\(reserve, reference half\)"):
        lab.sample(fitted(lab, ToldHeldOut, split="reference"), labels, stream="twenty")

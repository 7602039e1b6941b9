"""Pipelines that somebody else made: the contract on three kinds, safety, and what decides the key."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.errors import ConfigError, DataError, StageError
from bench.sweep import sweep
from bench.testing import GeneratorContract, tiny_images
from bench.testkit import RehearsalContext
from generators._pretrained.pipeline import image_seed, resized
from generators._pretrained.place import cached_commit, fingerprint
from generators.diffusers_pipeline import DiffusersPipeline, PipelineOptions
from tests.generators import tiny_pipelines

NAMES = tiny_images(1).class_names
PROMPTS = {NAMES[0]: "a benign mole", NAMES[1]: "melanoma"}


@cache
def made() -> Path:
    """Folder with all tiny pipelines, made once."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-pipelines-"))
    atexit.register(shutil.rmtree, folder, True)
    for k, name in enumerate(NAMES):
        tiny_pipelines.unconditional(folder / "ddpm" / name, seed=k)
    tiny_pipelines.class_conditional(folder / "dit")
    tiny_pipelines.text_to_image(folder / "text")
    return folder


class PipelineContract(GeneratorContract):
    """What every generator owes, for one kind of pipeline."""

    plugin = DiffusersPipeline
    place: ClassVar[str]
    more: ClassVar[dict[str, Any]] = {}

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        return {"path": f"{made()}/{self.place}", "steps": 2, "batch": 3, **self.more}


class TestUnconditional(PipelineContract):
    place = "ddpm/{class}"


class TestClassConditional(PipelineContract):
    place = "dit"


class TestTextToImage(PipelineContract):
    place = "text/pipeline"
    more = {"prompts": PROMPTS, "negative_prompt": "hair"}


del PipelineContract, GeneratorContract


@pytest.fixture
def ctx(tmp_path: Path) -> RehearsalContext:
    return RehearsalContext(tmp_path / "work")


def fitted(ctx: RehearsalContext, place: str, **options: Any) -> DiffusersPipeline:
    config = PipelineOptions(path=f"{made()}/{place}", **{"steps": 2, "batch": 4, **options})
    generator = DiffusersPipeline(config)
    generator.fit(tiny_images(3), ctx)
    return generator


def test_images_are_those_of_the_pipeline_itself(ctx: RehearsalContext) -> None:
    from diffusers import DiTPipeline

    found = fitted(ctx, "dit", class_labels={NAMES[1]: 207}, guidance=3.0).sample(np.array([0, 1]), ctx)
    pipe = DiTPipeline.from_pretrained(made() / "dit", use_safetensors=True)
    generators = [torch.Generator().manual_seed(image_seed(ctx.seed, i)) for i in (0, 1, 1, 1)]
    asked = {"class_labels": [0, 207, 207, 207], "guidance_scale": 3.0, "num_inference_steps": 2}
    expected = pipe(**asked, generator=generators, output_type="np").images[:2]
    np.testing.assert_array_equal(found, np.rint(expected * 255).astype(np.uint8))


def test_the_prompt_decides(ctx: RehearsalContext) -> None:
    labels = np.array([0, 0])
    first = fitted(ctx, "text/pipeline", prompts=PROMPTS).sample(labels, ctx)
    other = fitted(ctx, "text/pipeline", prompts={**PROMPTS, NAMES[0]: "ruler"}).sample(labels, ctx)
    assert (first != other).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_another_scheduler_can_be_chosen(scheduler: Any, ctx: RehearsalContext) -> None:
    labels = np.array([0])
    stored, other = (
        fitted(ctx, "ddpm/{class}", scheduler=s, steps=4).sample(labels, ctx) for s in ("stored", scheduler)
    )
    assert (stored != other).any()


def test_images_are_brought_to_the_training_size(ctx: RehearsalContext) -> None:
    found = fitted(ctx, "text/pipeline", prompts=PROMPTS, resolution=32).sample(np.array([0]), ctx)
    assert found.shape == (1, 16, 16, 3)
    from bench.data.decode import Recipe

    ramp = np.linspace(0, 1, 32)[:, None, None] * np.ones((1, 32, 3))
    small = resized(ramp, Recipe(16))
    np.testing.assert_allclose(small.mean(axis=(1, 2)), ramp.reshape(16, 2, 32, 3).mean(axis=(1, 2, 3)) * 255, atol=3)
    np.testing.assert_array_equal(resized(ramp, Recipe(32)), np.rint(ramp * 255))


def test_lora_weights_are_added(ctx: RehearsalContext, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    pipe: Any = StableDiffusionPipeline.from_pretrained(made() / "text" / "pipeline")
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = get_peft_model_state_dict(pipe.unet)
    StableDiffusionPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    labels, options = np.array([0, 1]), {"prompts": PROMPTS, "lora": str(tmp_path / "lora")}
    plain = fitted(ctx, "text/pipeline", prompts=PROMPTS).sample(labels, ctx)
    none, full = (fitted(ctx, "text/pipeline", lora_scale=s, **options).sample(labels, ctx) for s in (0.0, 1.0))
    np.testing.assert_array_equal(none, plain)
    assert (full != plain).any()
    with pytest.raises(ConfigError, match="takes no LoRA weights"):
        fitted(ctx, "dit", lora=str(tmp_path / "lora"))


def test_pickles_are_refused(ctx: RehearsalContext, tmp_path: Path) -> None:
    place = tmp_path / "dit"
    shutil.copytree(made() / "dit", place)
    weights = place / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save({}, place / "vae" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ConfigError, match=r"pickles \(\.bin, \.pt, \.ckpt\) are refused"):
        DiffusersPipeline(PipelineOptions(path=str(place))).fit(tiny_images(3), ctx)


def test_the_key_follows_the_files_and_not_their_place(tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(made() / "dit", copied)

    def key(place: Path) -> Any:
        return dict(DiffusersPipeline.inputs(PipelineOptions(path=str(place))))

    assert key(copied) == key(made() / "dit")
    index = copied / "scheduler" / "scheduler_config.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "beta_end": 0.03}))
    assert key(copied) != key(made() / "dit")
    per_class = DiffusersPipeline.inputs(PipelineOptions(path=f"{made()}/ddpm/{{class}}"))
    assert len(set(per_class["files"])) == len(NAMES)


def test_a_hub_id_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    commit, model = "0123456789abcdef0123456789abcdef01234567", tmp_path / "models--some--model"
    with pytest.raises(ConfigError, match=r"not in the hub's cache .*download=true and revision=COMMIT"):
        fingerprint("some/model", None, False)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    assert fingerprint("some/model", None, False) == cached_commit("some/model", commit) == commit
    with pytest.raises(ConfigError, match="a branch may move"):
        fingerprint("some/model", "main", True)
    with pytest.raises(ConfigError, match="no such folder, and no hub id"):
        fingerprint(str(tmp_path / "nowhere"), None, False)


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("text/pipeline", {"prompts": {NAMES[0]: "mole"}}, f"give one for class {NAMES[1]!r} in prompts"),
        (f"ddpm/{NAMES[0]}", {}, r"takes neither class labels nor prompts.*\{class\}"),
        ("nowhere", {}, "no such folder"),
        ("text", {}, "cannot be read as a pipeline"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_training(
    place: str, options: dict[str, Any], message: str, ctx: RehearsalContext
) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(ctx, place, **options)


def test_sampling_before_fitting_and_unknown_labels(ctx: RehearsalContext) -> None:
    with pytest.raises(StageError, match="not fitted yet"):
        DiffusersPipeline(PipelineOptions(path="x/y")).sample(np.array([0]), ctx)
    with pytest.raises(DataError, match=r"label 2 \(row 1\) is no class"):
        fitted(ctx, "dit").sample(np.array([0, 2]), ctx)


def test_throughput_sweeps_the_batches_of_drawing_and_leaves_the_steps() -> None:
    """Work of an image: the same at all batches, since no call is filled up, and growing with the denoising steps."""
    work = {}
    for steps in (2, 6):
        config = PipelineOptions(path=str(made() / "dit"), steps=steps, batch=3)

        def make(changes: Any, config: PipelineOptions = config) -> DiffusersPipeline:
            return DiffusersPipeline(PipelineOptions(**{**config.model_dump(), **changes}))

        fit, *drawn = sweep(make, config, tiny_images(2), [1, 4], device="cpu", precision="fp32", calls=1)
        assert (fit.phase, fit.flops, fit.error) == ("fit", None, "")
        assert [(row.batch, row.images, row.error) for row in drawn] == [(1, 1, ""), (4, 4, "")]
        assert drawn[0].flops == drawn[1].flops
        work[steps] = drawn[0].flops
    assert work[2] is not None
    assert work[6] is not None
    assert work[6] > work[2]

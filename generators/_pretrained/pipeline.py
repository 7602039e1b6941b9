"""A pipeline of diffusers in memory: what it takes, and images of it that depend on their own seed alone."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import Context, Labels
from bench.data.decode import Recipe
from bench.errors import ConfigError
from bench.pixels import UInt8, chunks
from generators._pretrained.place import loaded, loading

if TYPE_CHECKING:
    from generators.diffusers_pipeline import PipelineOptions


class LoadedPipeline:
    """``kind``: "text" (takes prompts), "class" (takes class labels) or "unconditional"; ``name``: its class."""

    def __init__(self, options: PipelineOptions, place: str, device: str) -> None:
        self.options = options
        arguments = {**loading(options.revision, options.download), "torch_dtype": getattr(torch, options.dtype)}

        kind: Any = DiffusionPipeline

        def read() -> Any:
            config = kind.load_config(place, **{k: arguments[k] for k in ("revision", "local_files_only")})
            without = {"safety_checker": None} if "safety_checker" in config else {}
            return kind.from_pretrained(place, **arguments, **without)

        self.pipe: Any = loaded("a pipeline", place, read)
        self.name = type(self.pipe).__name__
        self.takes = set(inspect.signature(self.pipe.__call__).parameters)
        self.kind = "text" if "prompt" in self.takes else "class" if "class_labels" in self.takes else "unconditional"
        if options.scheduler != "stored":
            self.pipe.scheduler = _scheduler(options.scheduler, self.pipe.scheduler)
        if options.lora is not None:
            self._add_lora(options.lora)
        self.pipe.to(device)
        self.pipe.set_progress_bar_config(disable=True)

    def request(self, labels: Sequence[int], class_names: Sequence[str]) -> dict[str, Any]:
        """Arguments of a call that asks for one image of each of ``labels``; ConfigError for a class without words."""
        options, names = self.options, [class_names[label] for label in labels]
        asked: dict[str, Any] = {"num_inference_steps": options.steps, "output_type": "np"}
        if self.kind == "text":
            if missing := [name for name in names if name not in options.prompts]:
                raise ConfigError(f"{self.name} draws texts: give one for class {missing[0]!r} in prompts")
            asked["prompt"] = [options.prompts[name] for name in names]
            if options.negative_prompt is not None:
                asked["negative_prompt"] = [options.negative_prompt] * len(names)
        elif self.kind == "class":
            own = dict(zip(class_names, range(len(class_names)), strict=True)) | options.class_labels
            asked["class_labels"] = [own[name] for name in names]
        else:
            asked["batch_size"] = len(names)
        if "guidance_scale" in self.takes:
            asked["guidance_scale"] = options.guidance
        if options.resolution is not None and {"height", "width"} <= self.takes:
            asked |= {"height": options.resolution, "width": options.resolution}
        return asked

    def draw(
        self, labels: Labels, rows: NDArray[np.int64], class_names: Sequence[str], side: int, ctx: Context
    ) -> UInt8:
        """Images uint8 [n, side, side, 3] of ``labels`` [n]; image i is seeded by ``ctx.seed`` and ``rows[i]``."""
        recipe = Recipe(side, self.options.crop, self.options.filter)
        out = np.empty((len(labels), side, side, 3), dtype=np.uint8)
        width = self.options.batch
        for part in chunks(len(labels), width):
            places = np.minimum(np.arange(part.start, part.start + width), len(labels) - 1)
            generators = [torch.Generator().manual_seed(image_seed(ctx.seed, int(i))) for i in rows[places]]
            asked = self.request(labels[places].tolist(), class_names)
            found = self.pipe(**asked, generator=generators).images[: part.stop - part.start]
            out[part] = np.stack([resized(image, recipe) for image in found])
            ctx.log(part.stop, len(labels))
        return out

    def _add_lora(self, lora: str) -> None:
        if not hasattr(self.pipe, "load_lora_weights"):
            raise ConfigError(f"{self.name} takes no LoRA weights; leave the option lora out")

        def add() -> None:
            self.pipe.load_lora_weights(lora, use_safetensors=True, local_files_only=True)
            self.pipe.fuse_lora(lora_scale=self.options.lora_scale)
            self.pipe.unload_lora_weights()

        loaded("LoRA weights", lora, add)


def image_seed(seed: int, i: int) -> int:
    """Seed of image ``i`` in a stage seeded by ``seed``; other pairs have others."""
    return int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def resized(image: NDArray[np.floating[Any]], recipe: Recipe) -> UInt8:
    """uint8 [S, S, 3] of an image float [H, W, 3] in 0..1, rounded once to bytes, then treated like a file."""
    stream = io.BytesIO()
    levels = np.rint(np.clip(np.asarray(image, dtype=np.float64), 0.0, 1.0) * 255.0).astype(np.uint8)
    Image.fromarray(levels).save(stream, "PNG", compress_level=0)
    return recipe.image(stream.getvalue())[0]


def _scheduler(kind: str, stored: Any) -> Any:
    if kind == "ddim":
        return DDIMScheduler.from_config(stored.config)  # type: ignore[no-untyped-call]
    return DPMSolverMultistepScheduler.from_config(stored.config)  # type: ignore[no-untyped-call]

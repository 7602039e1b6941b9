"""``diffusers_pipeline``: any pipeline of the diffusers library that draws images of classes or of texts."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.data.decode import Crop, Filter
from bench.errors import ConfigError, DataError, StageError
from bench.pixels import UInt8
from generators._pretrained.place import fingerprint

if TYPE_CHECKING:
    from generators._pretrained.pipeline import LoadedPipeline

CLASS = "{class}"


class PipelineOptions(Options):
    """Which pipeline, and how it is asked for an image of a class.

    path      folder as ``save_pretrained`` writes it, or hub id; with {class} in it, one pipeline for each class
    revision, download  of a hub id: branch or commit; whether it may be downloaded (then revision must be a commit)
    prompts   class name -> text, for pipelines that draw texts
    negative_prompt  what such a pipeline is to avoid
    class_labels  class name -> label of the pipeline, for class-conditional ones; its index in the task by default
    lora      folder or file of LoRA weights (safetensors), added with the weight ``lora_scale``
    steps, guidance  denoising steps; scale of classifier-free guidance, where the pipeline has one
    scheduler in place of the stored one: ddim or dpm++ (2M), made from its settings
    resolution  side that the pipeline draws, a multiple of its own unit; None for its default
    dtype     of weights and computation
    batch     images a call; the last call is filled up, so that an image does not depend on the others
    crop, filter  how images are brought to the training size: as data.crop and data.filter do it, so give the same
    """

    path: str = Field(min_length=1)
    revision: str | None = None
    download: bool = False
    prompts: dict[str, str] = {}
    negative_prompt: str | None = None
    class_labels: dict[str, int] = {}
    lora: str | None = None
    lora_scale: float = 1.0
    steps: PositiveInt = 25
    guidance: float = Field(4.0, ge=0.0)
    scheduler: Literal["stored", "ddim", "dpm++"] = "stored"
    resolution: PositiveInt | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: PositiveInt = 8
    crop: Crop = "square"
    filter: Filter = "lanczos"


class DiffusersPipeline(GeneratorBase):
    """Draws with a pipeline as it is: nothing is trained, so ``fit`` only checks that it knows the classes.

    What it was trained on cannot be seen here: one that saw images of the test split flatters itself unless its images
    are near-copies, which end the run. Only safetensors are read, no code of a repository is run, and a safety checker
    is left out, since it blacks out skin.
    """

    version: ClassVar[str] = "1"
    Config = PipelineOptions
    config: PipelineOptions
    drawing_option: ClassVar[str] = "batch"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._side, self._class_names = 0, list[str]()
        self._loaded: dict[str, LoadedPipeline] = {}

    @classmethod
    def inputs(cls, config: PipelineOptions) -> Mapping[str, Any]:
        """What the files hold (or the commit of a hub id), and the versions of the libraries that run them.

        With {class} in the path: of every folder that fits it. Raises ConfigError for a place that is not there.
        """
        from importlib.metadata import version

        places = [config.path]
        if CLASS in config.path:
            places = sorted(glob.glob(str(Path(config.path.replace(CLASS, "*")).expanduser())))
        read = [fingerprint(place, config.revision, config.download) for place in places]
        lora = [] if config.lora is None else [fingerprint(config.lora, None, False)]
        return {"files": read, "lora": lora, "diffusers": version("diffusers"), "pillow": version("pillow")}

    def fit(self, train: Images, ctx: Context) -> None:
        """Remember size and classes of ``train``, whose pixels are not read, and try the pipeline on each class.

        Raises ConfigError for a class without a prompt or label and for pipelines that cannot be read.
        """
        height, width = train.size
        if height != width:
            raise DataError(f"the training images are {height} x {width} pixels; only square ones can be matched")
        self._side, self._class_names = height, list(train.class_names)
        for label in range(len(self._class_names)):
            self._pipeline(label, ctx).request([label], self._class_names)

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Nothing: there is no training to shorten, and the option ``steps`` is of denoising."""
        return {}

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3]; ``hints`` are not used.

        Image i has a generator of its own, seeded by ``ctx.seed`` and i. Raises DataError for labels of no class.
        """
        import numpy as np

        from bench.draws import check_labels

        if not self._side:
            raise StageError("DiffusersPipeline is not fitted yet: call fit or load first")
        labels = check_labels(labels, self._class_names)
        out = np.empty((len(labels), self._side, self._side, 3), dtype=np.uint8)
        places = np.array([self._place(label) for label in labels.tolist()])
        for place in np.unique(places).tolist():
            rows = np.flatnonzero(places == place)
            pipeline = self._pipeline(int(labels[rows[0]]), ctx)
            out[rows] = pipeline.draw(labels[rows], rows, self._class_names, self._side, ctx)
        return out

    def save(self, folder: Path) -> None:
        """Write size and classes; the pipeline stays where it is."""
        from bench.trees import save_tree

        save_tree(folder, {"side": self._side, "class_names": self._class_names})

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """What ``save`` wrote; the pipeline is read when images are asked for."""
        from bench.trees import load_tree

        self, state = cls(config), load_tree(folder)
        self._side, self._class_names = state["side"], state["class_names"]
        return self

    def _place(self, label: int) -> str:
        return self.config.path.replace(CLASS, self._class_names[label])

    def _pipeline(self, label: int, ctx: Context) -> LoadedPipeline:
        from generators._pretrained.pipeline import LoadedPipeline

        place = self._place(label)
        if place not in self._loaded:
            fingerprint(place, self.config.revision, self.config.download)  # says plainly what is not there
            self._loaded = {place: LoadedPipeline(self.config, place, ctx.device)}
        pipeline = self._loaded[place]
        if pipeline.kind == "unconditional" and CLASS not in self.config.path and len(self._class_names) > 1:
            raise ConfigError(
                f"{place}: {pipeline.name} takes neither class labels nor prompts: give one pipeline a class, "
                f"with {CLASS} for the class name in path"
            )
        return pipeline

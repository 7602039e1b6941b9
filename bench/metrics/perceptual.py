"""Perceptual distance between images (LPIPS: Zhang et al. 2018, arXiv:1801.03924), and the diversity it shows.

A distance is any callable of two float32 arrays [B, H, W, 3] in 0..255 that gives float [B]; :func:`lpips_distance`
makes one from the network of the ``lpips`` package.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate, Labels
from bench.errors import ConfigError, DataError
from bench.metrics.arrays import Float, Float32, Int
from bench.metrics.estimates import defined
from bench.pixels import PixelArray, UInt8
from bench.stats.checks import normal_quantile
from bench.stats.pairs import balanced_pairs, pair_mean

Distance = Callable[[Float32, Float32], NDArray[np.floating[Any]]]
Embed = Callable[[Float32], Float32]
BATCH = 16
PAIRS = 10 * BATCH  # looked at together: some thirty images
PARTNERS = 20
SMALLEST = {"alex": 32, "vgg": 16}  # below, the last feature map would be empty


def perceptual_diversity(pixels: PixelArray, distance: Distance, partners: int = PARTNERS, seed: int = 0) -> Estimate:
    """Mean distance between two different images of ``pixels`` uint8 [N, H, W, 3], N >= 4, with its interval.

    Each image is compared with about ``partners`` others (seeded; all pairs where N is small), and the standard error
    is that of a U-statistic: pairs share images and are not independent. 0 for a collapsed generator. The order of
    images changes no bit. ``distance`` must be symmetric. Raises :class:`UndefinedMetric` with fewer than 4 images.
    """
    order = _by_content(pixels)
    first, second = balanced_pairs(len(order), partners, seed)
    values = pair_distances(pixels, order[first], order[second], distance)
    found = pair_mean(values, first, second, len(order))
    half = normal_quantile(0.975) * found.se
    low, high = max(0.0, found.value - half), found.value + half
    method = f"mean over {found.pairs} pairs; U-statistic"
    extra = {"se": found.se, "pairs": found.pairs, "seed": seed, "distance": getattr(distance, "identity", "")}
    return Estimate(found.value, low, high, len(order), "", "higher", method, extra=extra)


def class_diversity(
    pixels: PixelArray,
    labels: Labels,
    class_names: Sequence[str],
    distance: Distance,
    partners: int = PARTNERS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Estimates "lpips_diversity" of all images and "lpips_diversity[CLASS]" within each class of ``labels`` [N]."""
    rows = {"lpips_diversity": np.arange(len(labels))}
    rows |= {f"lpips_diversity[{name}]": np.flatnonzero(labels == c) for c, name in enumerate(class_names)}

    def measure(index: Int) -> Estimate:
        return perceptual_diversity(_Rows(pixels, index), distance, partners, seed)

    return {name: defined(partial(measure, index), len(index), "higher") for name, index in rows.items()}


class _Rows:
    """Rows of a pixel array, read when indexed."""

    def __init__(self, pixels: PixelArray, index: Int) -> None:
        self.pixels, self.index = pixels, index
        self.shape, self.dtype = (len(index), *pixels.shape[1:]), pixels.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Any) -> UInt8:
        return np.asarray(self.pixels[self.index[index]])


def _by_content(pixels: PixelArray) -> Int:
    """Order of the images by their bytes, so that neither order nor names of files decide who is compared with whom."""
    keys = [np.ascontiguousarray(pixels[i : i + 1]).tobytes() for i in range(len(pixels))]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def pair_distances(pixels: PixelArray, first: Int, second: Int, distance: Distance) -> Float:
    """``distance`` float64 [P] of the images at ``first`` [P] and ``second`` [P], a batch at a time.

    A distance with ``embed`` (see :class:`lpips_distance`) looks at each image once and not once a pair.
    """
    embed = getattr(distance, "embed", None)
    if embed is not None:
        return _embedded_distances(pixels, first, second, embed)
    out = np.empty(len(first))
    for start in range(0, len(first), BATCH):
        part = slice(start, start + BATCH)
        a, b = (np.asarray(pixels[rows[part]], dtype=np.float32) for rows in (first, second))
        out[part] = checked_distance(distance, a, b)
    return out


def _embedded_distances(pixels: PixelArray, first: Int, second: Int, embed: Embed) -> Float:
    """The same for squared distances of rows; pairs that lie together share images, so few rows are held at once."""
    out = np.empty(len(first))
    held: dict[int, Float32] = {}
    for start in range(0, len(first), PAIRS):
        part = slice(start, start + PAIRS)
        wanted = np.unique(np.concatenate([first[part], second[part]]))
        missing = np.array([row for row in wanted.tolist() if row not in held], dtype=np.int64)
        held = {row: held[row] for row in wanted.tolist() if row in held}
        for begin in range(0, len(missing), BATCH):
            rows = missing[begin : begin + BATCH]
            images = np.asarray(pixels[rows], dtype=np.float32)
            held.update(zip(rows.tolist(), embed(images), strict=True))
        for place, i, j in zip(
            range(*part.indices(len(first))), first[part].tolist(), second[part].tolist(), strict=True
        ):
            difference = held[i] - held[j]
            out[place] = difference @ difference
    return out


def checked_distance(distance: Distance, a: Float32, b: Float32) -> Float:
    """``distance(a, b)`` as float64 [B]; raises :class:`DataError` on another shape, NaN or a negative value."""
    found = np.asarray(distance(a, b), dtype=np.float64)
    if found.shape != (len(a),):
        raise DataError(f"the distance gave shape {found.shape} for {len(a)} pairs, expected {(len(a),)}")
    if not np.isfinite(found).all() or found.min(initial=0.0) < 0:
        raise DataError("the distance gave a negative number or NaN: check its weights and the range of the images")
    return found


class lpips_distance:
    """LPIPS v0.1 as a :data:`Distance`, from the ``lpips`` package: its own linear layers, and a given backbone.

    net       "vgg" (that of path length) or "alex" (the package's default for comparing images)
    backbone  ImageNet weights under torchvision's names ("features.0.weight", ...): a safetensors file, or name ->
              array; None: those of `bench weights fetch lpips-vgg` (or lpips-alex). Nothing is downloaded here.

    Raises :class:`ConfigError` that names a missing or misshapen tensor, or says how to get the weights.
    """

    def __init__(self, backbone: Path | Mapping[str, Any] | None = None, net: str = "vgg", device: str = "cpu") -> None:
        import lpips
        import torch

        if net not in SMALLEST:
            raise ConfigError(f"LPIPS network {net!r} is unknown: use {' or '.join(SMALLEST)}")
        self.net, self.device = net, device
        backbone = _fetched(net) if backbone is None else backbone
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package calls torchvision in the way of its older versions
            model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        self.identity = f"lpips-{net}-0.1:{_load_backbone(model.net, backbone)}"
        self.model = model.to(device).eval()
        self._torch = torch

    def __call__(self, a: Float32, b: Float32) -> Float32:
        """Distances float32 [B] of float32 [B, H, W, 3] in 0..255."""
        self._check_size(a)
        with self._torch.no_grad():
            found = self.model(self._scaled(a), self._scaled(b))
        return np.asarray(found.reshape(-1).cpu().numpy())

    def embed(self, images: Float32) -> Float32:
        """Rows float32 [B, D] whose squared distances are LPIPS, of float32 [B, H, W, 3] in 0..255.

        LPIPS is a sum over layers of weighted squared differences of unit-length features, averaged over places, and
        its weights are not negative: their roots, over the root of the number of places, make it a plain distance.
        """
        self._check_size(images)
        with self._torch.no_grad():
            layers = self.model.net(self.model.scaling_layer(self._scaled(images)))
            rows = [self._row(layer, weight) for layer, weight in zip(layers, self._weights(), strict=True)]
        return np.asarray(self._torch.cat(rows, dim=1).cpu().numpy())

    def _row(self, features: Any, weight: Any) -> Any:
        """[B, C h w] of one layer [B, C, h, w] and its weights [C]."""
        lengths = features.square().sum(dim=1, keepdim=True).sqrt()
        places = features.shape[2] * features.shape[3]
        return (features / (lengths + 1e-10) * (weight / places).sqrt()[:, None, None]).flatten(1)

    def _weights(self) -> Any:
        return [layer.model[-1].weight.flatten() for layer in self.model.lins]

    def _check_size(self, images: Float32) -> None:
        least = SMALLEST[self.net]
        if min(images.shape[1:3]) < least:
            size = f"{images.shape[2]} x {images.shape[1]}"
            raise DataError(f"LPIPS ({self.net}) needs images of at least {least} px, got {size}")

    def _scaled(self, images: Float32) -> Any:
        x = self._torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self.device)
        return x / 127.5 - 1


def _load_backbone(network: Any, backbone: Path | Mapping[str, Any]) -> str:
    """Fill ``network`` (slices that keep torchvision's layer numbers); returns the first 16 digits of the sha256."""
    import hashlib

    import torch

    name, tensors = (str(backbone), _read(backbone)) if isinstance(backbone, Path) else ("backbone", backbone)
    digest = hashlib.sha256()
    for own, parameter in sorted(network.named_parameters()):
        key = f"features.{own.split('.', 1)[1]}"
        values = np.asarray(tensors[key]) if key in tensors else None
        if values is None or values.shape != tuple(parameter.shape):
            shape = "is missing" if values is None else f"has shape {values.shape}"
            raise ConfigError(f"{name}: tensor {key!r} {shape}, expected {tuple(parameter.shape)}")
        parameter.data.copy_(torch.from_numpy(np.array(values, dtype=np.float32)))
        digest.update(key.encode() + np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return digest.hexdigest()[:16]


def _fetched(net: str) -> Path:
    from bench.weights import locate

    return locate(f"lpips-{net}")


def _read(path: Path) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    if not path.is_file():
        raise ConfigError(f"{path}: no such file of weights")
    return load_file(path)

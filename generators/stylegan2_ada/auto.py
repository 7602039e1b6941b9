"""The settings that the authors' ``auto`` configuration takes from resolution and number of GPUs; no torch here."""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE_BASE = 32768
LARGEST_GROUP = 4  # images a group of the minibatch deviation


@dataclass(frozen=True)
class AutoSettings:
    """batch (of all GPUs together), images a group of the minibatch deviation, channel base, rate, R1 gamma, EMA."""

    batch: int
    mbstd_group: int
    channel_base: int
    lr: float
    gamma: float
    ema_kimg: float


def auto_settings(resolution: int, gpus: int = 1) -> AutoSettings:
    """Settings for square images of ``resolution`` pixels on ``gpus`` GPUs.

    The batch keeps 4096 / resolution images a GPU, at most 32 each and 64 in all; gamma = 0.0002 R^2 / batch; the
    half-life of the weights' average is 10/32 of the batch in kimg. Karras et al. (2020, arXiv:2006.06676), appendix C.
    """
    batch = max(min(gpus * min(4096 // resolution, 32), 64), gpus)
    return AutoSettings(
        batch=batch,
        mbstd_group=min(batch // gpus, LARGEST_GROUP),
        channel_base=REFERENCE_BASE if resolution >= 512 else REFERENCE_BASE // 2,
        lr=0.002 if resolution >= 1024 else 0.0025,
        gamma=auto_gamma(resolution, batch),
        ema_kimg=auto_ema_kimg(batch),
    )


def auto_gamma(resolution: int, batch: int) -> float:
    """Weight of R1 at ``resolution`` pixels and ``batch`` images a step."""
    return 0.0002 * resolution**2 / batch


def auto_ema_kimg(batch: int) -> float:
    """Half-life of the averaged weights in thousands of images."""
    return batch * 10 / 32

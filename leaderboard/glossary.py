"""What each number of a run is, in a few words beside its name; ``docs/metrics.md`` defines them."""

from __future__ import annotations

from bench.report import ARROWS
from bench.tables import metric_title
from leaderboard.markup import Html, text

WORDS = {
    "fid": "Fréchet distance to held-out real images",
    "fid_infinity": "the same, extrapolated to endless images",
    "kid": "kernel distance to held-out real images, unbiased; 0 is equal",
    "precision": "share of synthetic images that look like some real one",
    "recall": "share of real images that some synthetic one looks like",
    "density": "how many real images a synthetic one is near to; 1 as real ones",
    "coverage": "share of real images with a synthetic one near by",
    "realism": "of the median image; from 1 on it lies among real ones",
    "lpips_diversity": "how different two synthetic images look; 0: all equal",
    "ppl2_wend": "perceptual path length in W: how abruptly images change with the latent",
    "ppl_zend": "perceptual path length in z: how abruptly images change with the noise",
    "checkerboard": "energy at periods of 2 and 4 pixels over that of real images; 1 as real ones",
    "duplicate_rate": "share of images with a near twin among the synthetic ones; 0.01 as real ones",
    "no_lesion_rate": "share of images whose lesion hardly stands out; 0.01 as real ones",
    "copy_rate": "share nearer to training images than 99 % of held-out real ones are; 0.01 as real ones",
    "nn_ratio": "distance to the nearest training image over that to the nearest other lesion",
    "share_nearer_train": "share nearer to training images than to held-out ones; 0.5 is no copying",
    "authenticity": "share not closer to a training image than that image's own neighbour; 0: all copies",
    "c_t": "data-copying statistic; below −3 copies",
    "membership_auc": "whether the loss tells training images from held-out ones; 0.5 is not at all",
    "membership_tpr01": "training images found at 1 % false alarms; 0.01 is chance",
}


def metric_head(name: str, direction: str) -> Html:
    """Readable name of the metric ``name`` with the arrow of its ``direction``, and what it is."""
    words = WORDS.get(name)
    what = f"<small>{text(words)}</small>" if words else ""
    return Html(f"{text(metric_title(name) + ARROWS[direction])} {what}".strip())

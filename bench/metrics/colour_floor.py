"""The colour floor: what six numbers an image (mean and SD of R, G, B) already tell about its class.

A logistic regression on them, their squares and products reaches AUC .83 for melanoma on HAM10000 (five folds by
lesion) and .81 on the ISIC 2018 test set; without squares and products .78 and .77. A classifier, or a set of synthetic
images to train on, that does no better has learnt the colour of a class and no more.
"""

from __future__ import annotations

import numpy as np

from bench.contracts import Images
from bench.errors import UndefinedMetric
from bench.metrics.arrays import Float
from bench.metrics.features import blocks
from bench.pixels import PixelArray


def colour_features(pixels: PixelArray) -> Float:
    """Mean and SD of R, G, B of each image, float64 [N, 6] (three means, three SDs) in 0..255; pixels uint8 [N,H,W,3].

    Sums are over integers and so exact: equal images have equal features, whatever block they were read in.
    """
    out = np.empty((len(pixels), 6))
    start = 0
    for block in blocks(pixels):
        wide = block.reshape(len(block), -1, 3).astype(np.int64)
        count = wide.shape[1]
        total, squares = wide.sum(axis=1), np.einsum("npc,npc->nc", wide, wide)
        part = out[start : start + len(block)]
        part[:, :3] = total / count
        part[:, 3:] = np.sqrt((count * squares - total * total) / count**2)
        start += len(block)
    return out


def colour_floor(train: Images, test: Images, positive: int) -> Float:
    """Scores float64 [N_test]: P(class ``positive``) by a logistic regression on colours.

    Quadratic in the six numbers, as a floor should hold all that colour tells. Deterministic. Raises
    :class:`UndefinedMetric` when ``train`` lacks the positive or every other class.
    """
    labels = np.asarray(train.labels) == positive
    if labels.all() or not labels.any():
        raise UndefinedMetric("undefined, because the training images of the colour floor are of one class")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    quadratic = StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()
    model = make_pipeline(*quadratic, LogisticRegression(max_iter=2000))
    model.fit(colour_features(train.pixels), labels)
    return np.asarray(model.predict_proba(colour_features(test.pixels))[:, 1], dtype=np.float64)

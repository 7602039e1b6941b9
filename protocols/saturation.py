"""From which amount on more images are no longer seen to help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.lab import Fitted, Lab


def saturation(lab: Lab, classifiers: Mapping[float, Fitted]) -> dict[str, Any]:
    """For the ledger: the smallest amount whose AUC is within the minimum detectable difference of the best.

    ``classifiers``: amount of added images -> classifier. AUC is that on val_select, the only images a decision may
    rest on. The minimum detectable difference of an amount and the best one is (z_.975 + z_.80) times the standard
    error of DeLong et al. (1988) for two classifiers on the same cases: a smaller gap would be missed more often than
    once in five times, so "saturated" is "not told apart here", never "equal".
    """
    from bench.stats import auc, delong_paired, minimum_detectable_difference

    positive = lab.task.positive
    y = lab.val_select.labels == positive
    scores = {a: lab.predict(c, lab.val_select, title="val_select")[:, positive] for a, c in classifiers.items()}
    aucs = {amount: float(auc(y, s)) for amount, s in scores.items()}
    best = max(aucs, key=lambda amount: aucs[amount])
    errors = {amount: delong_paired(y, scores[best], s).variance ** 0.5 for amount, s in scores.items()}
    told = {amount: minimum_detectable_difference(error) for amount, error in errors.items()}
    saturated = min(a for a in aucs if aucs[best] - aucs[a] <= told[a])
    return {
        "split": "val_select", "n": len(y), "auc": {f"{a:g}": value for a, value in aucs.items()},
        "minimum_detectable_difference": {f"{a:g}": value for a, value in told.items()},
        "best": best, "saturated_at": saturated,
    }  # fmt: skip

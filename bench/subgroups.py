"""How an arm does in subgroups of the test set: by sex, age, site and artifact, where the data set tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, PredictionEvidence
from bench.data.base import Prepared
from bench.keys import digest
from bench.lab import Fitted, Lab
from bench.record import EstimateRecord

COLUMNS = ("sex", "age", "site")
ARTIFACTS = ("dark_corner", "hair", "gel_border", "bubble", "ruler", "ink", "patches")
UNKNOWN = -1  # of an artifact column
RULES = ("youden", "sens95")
REPLICATES = 2_000  # a description beside the endpoints, which have those of the run


def subgroup_columns(prepared: Prepared, images: Images) -> dict[str, NDArray[Any]]:
    """Metadata [N] of ``images``, of those columns of ``prepared`` that divide them: name -> values in their order."""
    row_of = {str(name): row for row, name in enumerate(prepared.images.ids)}
    rows = np.array([row_of[str(name)] for name in images.ids], dtype=np.int64)
    named = {c: prepared.table[c][rows] for c in COLUMNS if c in prepared.table}
    for artifact in ARTIFACTS:
        for column in (artifact, f"artifact_{artifact}"):
            if column in prepared.table:
                named[artifact] = _yes_or_no(prepared.table[column][rows])
    return {name: values for name, values in named.items() if len(np.unique(values)) > 1}


def _yes_or_no(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.where(values == UNKNOWN, "", np.where(values > 0, "yes", "no"))


def judge_subgroups(
    lab: Lab, classifier: Fitted, test: Images, columns: Mapping[str, NDArray[Any]]
) -> dict[str, EstimateRecord]:
    """AUC, sensitivity and specificity of one arm in every subgroup of ``test``, a stage; empty without columns.

    ``columns``: name -> values [N]; names of the estimates as in :func:`bench.metrics.subgroups.measure_subgroups`.
    """
    if not columns:
        return {}
    from bench.metrics import VERSION

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics.subgroups import measure_subgroups

        scores = lab.predict(classifier, test, title="test")
        cuts = {rule: lab.threshold(classifier, rule) for rule in RULES}
        names, positive = lab.task.class_names, lab.task.positive
        evidence = PredictionEvidence(test.labels, np.asarray(scores), test.ids, test.groups, names, positive, cuts)
        found = measure_subgroups(evidence, columns, seed=0, replicates=REPLICATES)
        return {name: vars(e) for name, e in found.items()}

    inputs = {"classifier": classifier.key, "test": test.key, "val_thresh": lab.val_thresh.key}
    inputs["columns"] = digest({name: values.astype(np.str_).tolist() for name, values in columns.items()})
    inputs["precision"] = lab.bench.precision
    plugin, config = f"bench.metrics@{VERSION}", {"replicates": REPLICATES, "rules": RULES}
    found = lab.bench.json_stage("measure", "measure subgroups", plugin, config, inputs, measure)
    return {name: EstimateRecord(**e) for name, e in found.items()}

"""How sure a probe is before and after a temperature, and which way to train unequal classes is better balanced.

A logistic regression reads the features of a frozen MobileNetV2. Of five folds, by patient or lesion, one is for the
test, the next finds temperature and choice, and the others train. `sure` is the same regression with C = 1, which is
right on all training pictures: networks that were trained for long are as sure.

    python benchmarks/calibration.py --cache DIR [--data DIR]

DIR keeps the features.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from facelime_cli.core import calibration
from facelime_cli.models import building, running
from facelime_cli.models.building import Architecture
from facelime_cli.training import imbalance, loop, probing
from facelime_cli.training.probing import Features, Probe

SIZE, BATCH, FOLDS = 224, 32, 5
WEIGHTS = "weights/mobilenet_v2_1.0_224_imagenet.weights.h5"
STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SURE = 1.0
TASKS = {
    "X-ray, 2 classes": ("xray/index.csv", "xray/{file}", "label", "patient"),
    "X-ray, 3 classes": ("xray/index.csv", "xray/{file}", "subtype", "patient"),
    "skin, 7 classes": ("skin/metadata.csv", "skin/images/{image_id}.jpg", "dx", "lesion_id"),
}
"""Table, picture, column of the classes and column of the groups."""


def features_of(data: Path, cache: Path, table: str, picture: str, rows: list[dict[str, str]]) -> NDArray[np.float32]:
    """Return the features of a table's pictures, which are computed once."""
    kept = cache / f"{Path(table).parent.name}.npy"
    if not kept.exists():
        what = Architecture("mobilenetv2", SIZE, 2, weights=str(data / WEIGHTS))
        call, found = running.forward(building.build(what).bare), []
        for start in range(0, len(rows), BATCH):
            paths = [data / picture.format(**row) for row in rows[start : start + BATCH]]
            images = [Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR) for path in paths]
            values = np.stack([np.asarray(image) for image in images])
            found.append(call(np.pad(values, [(0, BATCH - len(values)), (0, 0), (0, 0), (0, 0)]))[: len(values)])
        np.save(kept, np.concatenate(found))
    return np.asarray(np.load(kept, allow_pickle=False))


def ways(train: Features) -> dict[str, Probe]:
    """Return a probe for each way to train."""
    plain = probing.fit_probe(train, None, STRENGTHS)
    weights = loop.balanced_class_weights(train.labels)
    return {
        "none": plain,
        "balanced": probing.fit_probe(train, weights, fixed=plain.strength),
        "adjusted": imbalance.adjusted(plain, loop.class_shares(train.labels)),
        "sure": probing.fit_probe(train, fixed=(SURE,)),
    }


def measure(whole: Features) -> None:
    """Print a line for each way to train, over all folds."""
    dealt = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    folds = [test for _, test in dealt.split(whole.values, whole.labels, whole.groups)]
    scores: dict[str, list[NDArray[np.float32]]] = {}
    temperatures: dict[str, list[float]] = {}
    chosen = []

    def part(rows: NDArray[np.int64]) -> Features:
        return Features(whole.values[rows], whole.labels[rows], whole.groups[rows], whole.n_classes)

    for number, test in enumerate(folds):
        validation = part(folds[(number + 1) % FOLDS])
        train = part(np.setdiff1d(np.arange(len(whole.labels)), np.r_[test, folds[(number + 1) % FOLDS]]))
        chosen.append(imbalance.choose(train, validation, STRENGTHS).class_weights)
        for name, probe in ways(train).items():
            scores.setdefault(name, []).append(probe.logits(whole.values[test]))
            found = calibration.temperature_for(probe.logits(validation.values), validation.labels)
            temperatures.setdefault(name, []).append(found)
    labels = whole.labels[np.concatenate(folds)]
    sys.stdout.write(f"chosen in each fold: {', '.join(chosen)}\n")
    for name, parts in scores.items():
        before = np.concatenate([softmax(each, axis=1) for each in parts])
        after = np.concatenate([softmax(s / t, axis=1) for s, t in zip(parts, temperatures[name], strict=True)])
        answers = before.argmax(axis=1)
        figures = [calibration.figures(labels, each.astype(np.float32)) for each in (before, after)]
        shown = ", ".join(
            f"{key} {figures[0][key]:.3f} to {figures[1][key]:.3f}" for key in ("expected_calibration_error", "brier")
        )
        sys.stdout.write(
            f"  {name:9s} accuracy {(answers == labels).mean():.3f}, "
            f"balanced {balanced_accuracy_score(labels, answers):.3f}, "
            f"temperatures {min(temperatures[name]):.2f} to {max(temperatures[name]):.2f}, {shown}\n"
        )


def main() -> None:
    """Print the figures of every task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("FACELIME_DATA"), help="Real pictures and weights.")
    parser.add_argument("--cache", type=Path, required=True, help="Folder that keeps the features.")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    for name, (table, picture, column, group) in TASKS.items():
        with (given.data / table).open() as stream:
            rows = list(csv.DictReader(stream))
        classes, labels = np.unique([row[column] for row in rows], return_inverse=True)
        groups = np.unique([row[group] for row in rows], return_inverse=True)[1]
        values = features_of(given.data, given.cache, table, picture, rows)
        sys.stdout.write(f"{name}: ")
        measure(Features(values, labels, groups, len(classes)))


if __name__ == "__main__":
    main()

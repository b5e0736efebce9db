"""Tell pictures that a network never learned: how well, and how often it is wrong about pictures of the same source.

A frozen MobileNetV2 learns chest X-rays; its features are those that a head reads. In each of five folds, by patient,
a summary is made of four, and the fifth is held out. Held-out pictures must be near; these must be far:

*skin*, *faces*: pictures of another kind.
*inverted*, *dark*, *bright*, *turned*, *cropped*: the held-out X-rays with grey inverted, with a gamma of 2.5 and 0.4,
turned by 90 degrees, and the middle half enlarged. They stand for the X-rays of another hospital.

The settings are chosen on the pictures of one half of the patients, and of one half of the other pictures. The other
half says what the choice is worth.

    python benchmarks/unlike.py --cache DIR [--data DIR] [--few]

DIR keeps the features. --few also shows summaries of few pictures.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from facelime_cli.core.familiarity import class_means, familiar, neighbours
from facelime_cli.models import building, running
from facelime_cli.models.building import Architecture

SIZE, BATCH, FOLDS = 224, 32, 5
WEIGHTS = "weights/mobilenet_v2_1.0_224_imagenet.weights.h5"
Pixels = NDArray[np.uint8]
Features = dict[str, NDArray[np.float32]]


def gamma(exponent: float, image: Pixels) -> Pixels:
    """Return a picture with another gamma."""
    return np.asarray(np.rint(255 * (image / 255.0) ** exponent), np.uint8)


def cropped(image: Pixels) -> Pixels:
    """Return the middle half of a picture, enlarged."""
    quarter = SIZE // 4
    middle = image[quarter:-quarter, quarter:-quarter]
    return np.asarray(Image.fromarray(middle).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "xray": lambda image: image,
    "inverted": lambda image: 255 - image,
    "dark": partial(gamma, 2.5),
    "bright": partial(gamma, 0.4),
    "turned": lambda image: np.ascontiguousarray(np.rot90(image)),
    "cropped": cropped,
}
"""What becomes of the X-rays."""
OTHERS = {"skin": "skin/images", "faces": "faces/normal"}
METHODS: dict[str, Callable[..., Any]] = {
    **{f"class means, {n} dimensions": partial(class_means, dimensions=n) for n in (32, 64, 128, 256)},
    **{
        f"neighbour {k}, {n} dimensions": partial(neighbours, dimensions=n, nearest=k)
        for n, k in ((64, 1), (64, 5), (256, 5))
    },
}


def picture(path: Path) -> Pixels:
    """Return a picture at the network's size."""
    return np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def features_of(data: Path, cache: Path, paths: list[Path]) -> Features:
    """Return the features of all pictures by kind, from the cache where they are there."""
    kept = cache / "features.npz"
    if kept.exists():
        with np.load(kept) as found:
            return dict(found)
    what = Architecture("mobilenetv2", SIZE, 2, weights=str(data / WEIGHTS), freeze="all")
    call = running.forward(building.build(what).bare)
    found = {name: answers(call, map(change, map(picture, paths))) for name, change in CHANGES.items()}
    for name, there in others_in(data).items():
        found[name] = answers(call, map(picture, there))
    np.savez(kept, **found)
    return found


def others_in(data: Path) -> dict[str, list[Path]]:
    """Return the pictures of other kinds."""
    return {name: sorted((data / folder).glob("*.jpg")) for name, folder in OTHERS.items()}


def answers(call: Callable[..., Any], images: Iterable[Pixels]) -> NDArray[np.float32]:
    """Return what a compiled network answers to pictures, in batches of one size."""

    def batches() -> Iterator[NDArray[np.float32]]:
        left = iter(images)
        while some := list(islice(left, BATCH)):
            yield call(np.pad(np.stack(some), [(0, BATCH - len(some)), (0, 0), (0, 0), (0, 0)]))[: len(some)]

    return np.concatenate(list(batches()))


def xrays(data: Path, cache: Path) -> tuple[Features, NDArray[np.int64], NDArray[np.int64]]:
    """Return the features of all pictures, and label and patient of each X-ray."""
    cache.mkdir(parents=True, exist_ok=True)
    with (data / "xray/index.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    features = features_of(data, cache, [data / "xray" / row["file"] for row in rows])
    labels = np.array([row["label"] == "PNEUMONIA" for row in rows]).astype(np.int64)
    return features, labels, np.unique([row["patient"] for row in rows], return_inverse=True)[1].ravel()


def measured(
    features: Features, labels: NDArray[np.int64], patients: NDArray[np.int64], method: Callable[..., Any], most: int
) -> list[dict[str, Any]]:
    """Return for each half of the pictures the AUC against each kind of strange pictures, and the false alarms."""
    near: list[list[NDArray[np.float64]]] = [[], []]
    far: list[dict[str, list[NDArray[np.float64]]]] = [{}, {}]
    halves = np.random.default_rng(0).permutation(patients.max() + 1)[patients] % 2
    known = features["xray"]
    for others, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(known, labels, patients):
        train = np.random.default_rng(1).permutation(others)[:most]
        summary = familiar(known[train], labels[train], patients[train], summarised=method)
        for half in range(2):
            rows = test[halves[test] == half]
            near[half].append(summary.distances(known[rows]))
            for name in (*list(CHANGES)[1:], *OTHERS):
                some = features[name][rows] if name in CHANGES else features[name][half::2]
                far[half].setdefault(name, []).append(summary.distances(some))
    return [figures(near[half], far[half]) for half in range(2)]


def figures(near: list[NDArray[np.float64]], far: dict[str, list[NDArray[np.float64]]]) -> dict[str, Any]:
    """Return the mean AUC over folds and the share beyond the threshold, by kind, and the false alarms."""
    found: dict[str, Any] = {"alarms": float(np.mean(np.concatenate(near) > 1))}
    found["alarms by fold"] = [float(np.mean(each > 1)) for each in near]
    for name, distances in far.items():
        areas = [
            roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b]))
            for a, b in zip(near, distances, strict=True)
        ]
        found[name] = (float(np.mean(areas)), float(np.mean(np.concatenate(distances) > 1)))
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return figures as a table: AUC, and the share that is told, of each kind; then the false alarms."""
    kinds = (*list(CHANGES)[1:], *OTHERS)
    lines = [f"| | {' | '.join(kinds)} | false alarms (worst fold) |", "| --- |" + " --- |" * (len(kinds) + 1)]
    for name, found in rows.items():
        cells = [f"{found[kind][0]:.3f}, {100 * found[kind][1]:.0f} %" for kind in kinds]
        alarms = f"{100 * found['alarms']:.1f} % ({100 * max(found['alarms by fold']):.1f} %)"
        lines.append(f"| {name} | {' | '.join(cells)} | {alarms} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables of both halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FACELIME_DATA", "../shared/data")))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--few", action="store_true")
    given = parser.parse_args()
    features, labels, patients = xrays(given.data, given.cache)
    for most in (1000, *((60, 100, 200, 400) if given.few else ())):
        both = {name: measured(features, labels, patients, each, most) for name, each in METHODS.items()}
        for name, found in both.items():
            folds = np.mean([each["alarms by fold"] for each in found], axis=0)
            print(f"{name}: false alarms by fold, both halves: {', '.join(f'{100 * each:.1f} %' for each in folds)}")
        for half, title in enumerate(("the half that chooses", "the other half")):
            print(f"\n{title}, summaries of {min(most, 800)} pictures: AUC, share beyond the 99th percentile\n")
            print(table({name: found[half] for name, found in both.items()}), flush=True)


if __name__ == "__main__":
    main()

"""Explain the cases of `pool.py` with other programs and methods, with as many evaluations.

*lime*: the `lime` package with its own defaults, and with our segments.
*occlusion*: a grey square of 16 pixels at every fifth pixel. A pixel's value is the mean of what the log-odds lose
under the squares over it.
*Grad-CAM*: one evaluation. With a linear head on pooled features it is the weighted sum of the last feature maps.

The measures are those of `views.py`. *first* and *IoU* are judged on the segments that a method has. A map without
segments has those of the carrier, with the mean of each.

    python benchmarks/rivals.py --cache DIR --data DIR [--half other] [--part 1 2] [--threads 1]    # evaluate
    python benchmarks/rivals.py --cache DIR --table [--half other]                                  # judge

DIR is the folder that `pool.py` has filled. The same command resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pool
import views
from cases import BATCH, NETWORKS, Blocks, Features, Floats, Labels, Network, in_batches, probability
from numpy.typing import NDArray
from planted import judged
from tags import SIZE, Pixels
from views import CHOICES, DEFAULT, REFERENCE, Judge, Record, Results, counts, fine_overlap, joined, records, spelled

from facelime_cli.core.fills import MIDDLE_GREY

EVALUATIONS = 600
SQUARE, STRIDE = 16, 5
"""Side of the grey square and its steps, in pixels: 529 evaluations."""
MEASURES = ("first", "IoU", "fine IoU")
Answer = Callable[[Pixels], Floats]
Explained = tuple[Floats, Labels, Floats]
"""Coefficients, their segments, and a map of pixels."""


def lime(image: Pixels, answer: Answer, segments: Labels | None) -> Explained:
    """Return what the `lime` package finds, with its own segments where none are given."""
    from lime.lime_image import LimeImageExplainer

    def classify(images: Any) -> Floats:
        p = probability(answer(np.asarray(images, np.uint8)))
        return np.stack([1 - p, p], axis=1)

    found = LimeImageExplainer(random_state=0).explain_instance(
        image,
        classify,
        labels=(1,),
        top_labels=None,
        num_samples=EVALUATIONS,
        batch_size=BATCH,
        segmentation_fn=None if segments is None else lambda _: segments.astype(np.int64),
    )
    _, numbered = np.unique(found.segments, return_inverse=True)
    own = numbered.reshape(found.segments.shape).astype(np.uint16)
    coefficients = np.zeros(int(own.max()) + 1)
    for segment, weight in found.local_exp[1]:
        coefficients[segment] = weight
    return coefficients, own, (coefficients / np.bincount(own.ravel()))[own]


def occlusion(image: Pixels, answer: Answer, carrier: Labels) -> Explained:
    """Return what a grey square takes away."""
    starts = list(itertools.product(range(0, SIZE - SQUARE + 1, STRIDE), repeat=2))
    covered = np.repeat(image[None], len(starts), axis=0)
    for picture, (row, column) in zip(covered, starts, strict=True):
        picture[row : row + SQUARE, column : column + SQUARE] = MIDDLE_GREY
    lost = answer(image[None])[0] - answer(covered)
    sums, times = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    for value, (row, column) in zip(lost, starts, strict=True):
        sums[row : row + SQUARE, column : column + SQUARE] += value
        times[row : row + SQUARE, column : column + SQUARE] += 1
    return _of_map(sums / np.maximum(times, 1), carrier)


def grad_cam(
    image: Pixels, blocks: Blocks, network: Network, maps: Callable[[Features], Features], carrier: Labels
) -> Explained:
    """Return the weighted feature maps where they are positive, enlarged."""
    from skimage.transform import resize

    features = in_batches(maps, blocks.features(image[None]))[0]
    weighted = np.maximum(features @ network.head[:-1], 0)
    return _of_map(resize(weighted, (SIZE, SIZE), order=1), carrier)


def _of_map(pixels: Floats, carrier: Labels) -> Explained:
    """Return the carrier's means of a map."""
    means = np.bincount(carrier.ravel(), weights=pixels.ravel()) / np.bincount(carrier.ravel())
    return means, carrier, pixels


def measures(found: Explained, truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return how well an explanation finds the tag."""
    coefficients, segments, pixels = found
    own = judged([coefficients], segments, truth)
    return dict(zip(MEASURES, (own["top 1"][0], own["IoU"][0], fine_overlap(pixels, truth)), strict=True))


def explanations(record: Record, blocks: Blocks, network: Network, maps: Any) -> dict[str, Explained]:
    """Return what every rival says of a picture."""
    image = record.pictures()["image"]

    def answer(images: Pixels) -> Floats:
        return network.log_odds(blocks.features(images))

    return {
        "lime, its defaults": lime(image, answer, None),
        "lime, our segments": lime(image, answer, record.carrier),
        "occlusion": occlusion(image, answer, record.carrier),
        "Grad-CAM": grad_cam(image, blocks, network, maps, record.carrier),
    }


def evaluate(options: argparse.Namespace) -> None:
    """Explain the cases of one half, and keep a line for each."""
    lines = options.cache / "rivals.jsonl"
    known = {tuple(json.loads(line)[:2]) for line in lines.read_text().splitlines()} if lines.exists() else set()
    blocks = Blocks(options)
    part, parts = options.part
    found = sorted(records(options.cache, options.half, "tag"), key=lambda record: record.name)
    units = itertools.groupby(found, key=lambda record: record.name.rpartition("/")[0])
    for number, (name, those) in enumerate(units):
        if number % parts != part - 1:
            continue
        begun = time.perf_counter()
        networks, maps = blocks.kept(name.replace("/", "-")), blocks.maps(name.replace("/", "-"))
        for record, at in itertools.product(those, range(len(NETWORKS))):
            if (record.name, at) in known or not counts(record, at):
                continue
            explained = explanations(record, blocks, networks[at], maps[at])
            truth = record.arrays["truth"]
            figures = {rival: measures(each, truth) for rival, each in explained.items()}
            with lines.open("a") as stream:
                stream.write(json.dumps([record.name, at, figures]) + "\n")
        print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)


def tables(options: argparse.Namespace) -> Iterator[str]:
    """Yield a Markdown table of the rivals, and of our own on the same cases."""
    lines = (options.cache / "rivals.jsonl").read_text().splitlines()
    known = {(name, at): figures for name, at, figures in map(json.loads, lines)}
    found: dict[str, list[dict[str, float]]] = {}
    patients = []
    for record, at, patient in Judge(options).cases():
        if (record.name, at) not in known:
            continue
        ours = dict(known[record.name, at])
        for name in (REFERENCE, DEFAULT):
            own = joined(record, at, CHOICES[name], EVALUATIONS)
            ours[name] = measures((own.coefficients, record.carrier, own.density), record.arrays["truth"])
        for name, figures in ours.items():
            found.setdefault(name, []).append(figures)
        patients.append(patient)
    yield f"{len(patients)} cases, {EVALUATIONS} evaluations:\n\n| method | " + " | ".join(MEASURES) + " |"
    yield "| --- " * (1 + len(MEASURES)) + "|"
    for name, figures in found.items():
        cells = [spelled(Results(np.array([one[each] for one in figures]), np.array(patients))) for each in MEASURES]
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Evaluate, or judge and print."""
    parser = pool.arguments(__doc__)
    parser.add_argument("--table", action="store_true", help="Judge what is kept.")
    views.add_cases(parser)
    options = parser.parse_args()
    if options.table:
        print("\n".join(tables(options)))
        return
    if options.data is None:
        parser.error("say where the weights are, with --data or FACELIME_DATA")
    evaluate(options)


if __name__ == "__main__":
    main()

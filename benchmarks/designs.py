"""Measure how many evaluations each design of masks needs.

The script measures the error of the coefficients and the overlap of the top 5. It compares with a reference of many
bernoulli samples.

It explains two models at 128 px. One is MobileNetV2 with its ImageNet classes, on six photographs (scikit-image,
scikit-learn). The other is a MobileNetV2 with frozen features, fine-tuned on the training split of chest X-rays, on six
X-rays of the test split. Segments are SLIC's and the fill is `mean`. Coefficients are those of ridge for the most
probable class with lime's weights, as `fit-surrogate` computes them. The design `exact` is left out: so many segments
have too many masks. `shapley` is left out too: its coefficients estimate Shapley values, which are other numbers.

The reference has an error of its own. Its two halves tell how large it is. It is subtracted from the errors of the
designs, which would otherwise level off at it. A factor is the number of bernoulli samples with the same error, for one
evaluation of the design. It is read from a line through the errors of bernoulli on logarithmic axes, for each picture.

    python benchmarks/designs.py --cache DIR [--data DIR] [--seeds 3] [--reference 8192] [--pictures 6] [--figure FILE]

DIR is a store. It keeps what is computed, and the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import skimage.io
import sklearn.datasets
from numpy.typing import NDArray

from facelime_cli import machine
from facelime_cli.core.attribution import strongest
from facelime_cli.core.linear import ridge
from facelime_cli.core.masks import unpack
from facelime_cli.core.surrogate import cosine_weights
from facelime_cli.sources import SPLITS
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.references import Store

Floats = NDArray[np.float64]

BASELINE = "bernoulli"
MEASURED = {
    BASELINE: ("bernoulli", 0.5),
    "paired": ("paired", 0.5),
    "balanced": ("balanced", 0.5),
    "bernoulli, .8 kept": ("bernoulli", 0.8),
}
"""Each design with the chance of a segment to be kept.

Another chance means other coefficients. They are compared with a reference of their own.
"""
EVALUATIONS = (128, 192, 256, 330, 512, 768, 1000, 1448, 2048)
AIM = (1000, 330)
"""The aim: the error of 1,000 bernoulli samples with 330 evaluations."""
SIZE = 128
"""Side of the pictures, in pixels."""
WEIGHTS = "mobilenet_v2_1.0_224_imagenet.weights.h5"
REFERENCE_SEED = 1_000_000
KERNEL_WIDTH = 0.25
PENALTY = 1.0
TOP = 5
POINTS = 100
LEAST_SHARE = 0.05
"""At least this share of a measured squared error is left when the reference's is subtracted."""
TEST = SPLITS.index("test")


@dataclass(frozen=True)
class Samples:
    """Masks (S, K) of one picture, and the probability (S,) of its most probable class."""

    masks: NDArray[np.bool_]
    values: Floats

    def coefficients(self, rows: slice) -> Floats:
        """Return the coefficients (K,) of some of the samples, in probability points."""
        kept = self.masks[rows]
        weights = cosine_weights(kept, KERNEL_WIDTH)
        fit = ridge(kept.astype(np.float64), self.values[rows, None], weights, alpha=PENALTY)
        return POINTS * fit.coefficients[:, 0]


@dataclass(frozen=True)
class Errors:
    """What was measured of one model.

    Attributes
    ----------
    error : (picture, seed, evaluations) float64 array
        Root mean square errors, in probability points.
    of_reference : (picture,) float64 array
        The reference's own error, in probability points.
    overlap : (picture, seed, evaluations) float64 array
        Overlap of the top 5 with the reference's, 0 to 1.
    """

    error: Floats
    of_reference: Floats
    overlap: Floats

    def corrected(self) -> Floats:
        """Return the errors over the seeds without the reference's own: (picture, evaluations)."""
        squares = (self.error**2).mean(axis=1)
        own = self.of_reference[:, None] ** 2
        # The difference of two estimates can be negative, and a root needs something that is not.
        left = np.maximum(squares - own, LEAST_SHARE * squares)
        return np.sqrt(left)


class Bench:
    """Runs the stages on the cache, which is a store."""

    def __init__(self, cache: Path, data: Path, options: argparse.Namespace) -> None:
        self.cache, self.data, self.options = cache, data, options

    def run(self, *words: object) -> Artifact:
        """Run a stage, or find that it was run."""
        done = subprocess.run(
            [sys.executable, "-m", "facelime_cli", *map(str, words), "--store", str(self.cache), "--json"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        return Store(self.cache).stored(answer["kind"], answer["artifact"])

    def photographs(self) -> tuple[Artifact, Artifact]:
        """Return segments of photographs, and the network with its ImageNet classes."""
        weights = self.data / "weights" / WEIGHTS
        labels = self.data / "weights" / "imagenet_labels.txt"
        model = self.run(
            "import-model",
            weights,
            "--backbone",
            "mobilenetv2",
            "--classes",
            f"@{labels}",
            "--scaling=-1..1",
            "--size",
            SIZE,
        )
        folder = self.cache / "photographs"
        folder.mkdir(parents=True, exist_ok=True)
        china, flower = sklearn.datasets.load_sample_images().images
        for name, image in {
            "astronaut": skimage.data.astronaut(),
            "cat": skimage.data.chelsea(),
            "coffee": skimage.data.coffee(),
            "rocket": skimage.data.rocket(),
            "temple": china,
            "flower": flower,
        }.items():
            skimage.io.imsave(folder / f"{name}.png", image, check_contrast=False)
        dataset = self.run("preprocess", folder, "--size", SIZE)
        return self.run("segment", dataset.id, "--method", "slic", "--first", self.options.pictures), model

    def xrays(self) -> tuple[Artifact, Artifact]:
        """Return segments of X-rays, as many of each class, and a network fine-tuned on others."""
        dataset = self.run("preprocess", self.data / "xray", "--size", SIZE, "--group-pattern", "kermany")
        weights = self.data / "weights" / WEIGHTS
        words = ("--recipe", "none", "--backbone", "mobilenetv2", "--weights", weights, "--epochs", 20)
        model = self.run("finetune", dataset.id, *words)
        ids, labels, split = dataset.texts("id"), dataset.read("labels"), dataset.read("split")
        chosen: list[str] = []
        for label in (0, 1):
            rows = np.flatnonzero((labels == label) & (split == TEST))
            # As many of each class, so that one class does not decide the result.
            chosen += [ids[row] for row in rows[: self.options.pictures // 2]]
        return self.run("segment", dataset.id, "--method", "slic", "--images", ",".join(chosen)), model

    def samples(
        self, segments: Artifact, model: Artifact, drawn: tuple[str, float], seed: int, count: int
    ) -> Iterator[Samples]:
        """Yield the samples of each picture, evaluated now or before."""
        design, probability = drawn
        masks = self.run(
            "perturb",
            segments.id,
            "--samples",
            count,
            "--design",
            design,
            "--probability",
            probability,
            "--fill",
            "mean",
            "--seed",
            seed,
        )
        predictions = self.run("predict", masks.id, "--model", model.id)
        for row, n_segments in enumerate(segments.read("n_segments")):
            one = slice(row, row + 1)
            values = predictions.read("probabilities", one)[0].astype(np.float64)
            yield Samples(unpack(masks.read("masks", one)[0], int(n_segments)), values[:, values[0].argmax()])

    def measure(self, segments: Artifact, model: Artifact) -> dict[str, Errors]:
        """Return the errors of every design."""
        found = {}
        for design, drawn in MEASURED.items():
            reference = (BASELINE, drawn[1])
            references = list(self.samples(segments, model, reference, REFERENCE_SEED, self.options.reference))
            true = [each.coefficients(slice(None)) for each in references]
            own = np.array([self._own_error(each) for each in references])
            errors, overlaps = [], []
            for seed in range(self.options.seeds):
                drawn_samples = self.samples(segments, model, drawn, seed, max(EVALUATIONS))
                by_picture = list(zip(drawn_samples, true, strict=True))
                # Fewer evaluations are the first rows of many.
                fitted = [[each.coefficients(slice(n)) for n in EVALUATIONS] for each, _ in by_picture]
                pairs = list(zip(fitted, true, strict=True))
                errors.append([[_rms(b - right) for b in row] for row, right in pairs])
                overlaps.append([[_overlap(b, right) for b in row] for row, right in pairs])
            error = np.array(errors).swapaxes(0, 1)
            overlap = np.array(overlaps).swapaxes(0, 1)
            found[design] = Errors(error, own, overlap)
        return found

    def _own_error(self, reference: Samples) -> float:
        """Return the error of a reference, half of the difference between its halves."""
        half = self.options.reference // 2
        first = reference.coefficients(slice(half))
        second = reference.coefficients(slice(half, None))
        return _rms(first - second) / 2


def _rms(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))


def _overlap(found: Floats, true: Floats) -> float:
    """Return the share of the reference's strongest segments that are found."""
    ours = set(strongest(found, TOP).tolist())
    theirs = set(strongest(true, TOP).tolist())
    return len(ours & theirs) / TOP


def factors(errors: dict[str, Errors], design: str) -> Floats:
    """Return how many bernoulli samples one evaluation of a design is worth: (picture, evaluations)."""
    log_n = np.log(EVALUATIONS)
    baseline = np.log(errors[BASELINE].corrected())
    measured = np.log(errors[design].corrected())
    gained = []
    for bernoulli, each in zip(baseline, measured, strict=True):
        slope, level = np.polyfit(log_n, bernoulli, 1)
        same_error = (each - level) / slope
        gained.append(np.exp(same_error - log_n))
    return np.array(gained)


def reaches(errors: dict[str, Errors], design: str) -> Floats:
    """Return how many evaluations a design needs for the error of `AIM` bernoulli samples: (picture,).

    It is read from a line on logarithmic axes.
    """
    log_n = np.log(EVALUATIONS)
    baseline = np.log(errors[BASELINE].corrected())
    measured = np.log(errors[design].corrected())
    needed = []
    for bernoulli, each in zip(baseline, measured, strict=True):
        target = np.polyval(np.polyfit(log_n, bernoulli, 1), np.log(AIM[0]))
        slope, level = np.polyfit(log_n, each, 1)
        needed.append(np.exp((target - level) / slope))
    return np.array(needed)


def table(name: str, errors: dict[str, Errors]) -> str:
    """Return one model's figures in Markdown."""
    own = errors[BASELINE].of_reference
    lines = [
        (
            f"{name}: {len(own)} pictures, {errors[BASELINE].error.shape[1]} seeds; "
            f"the reference's own error, {_rms(own):.2f} points, is subtracted.\n"
        ),
        "| evaluations | "
        + " | ".join(f"{design}: error in points | top {TOP} | factor (least to most)" for design in errors)
        + " |",
        "| --- " * (1 + 3 * len(errors)) + "|",
    ]
    for place, n in enumerate(EVALUATIONS):
        cells = []
        for design, each in errors.items():
            gained = factors(errors, design)[:, place]
            cells.append(
                f"{_rms(each.corrected()[:, place]):.2f} | {each.overlap[..., place].mean():.2f} | "
                f"{np.median(gained):.2f} ({gained.min():.1f} to {gained.max():.1f})"
            )
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    for design in errors:
        needed = reaches(errors, design)
        lines.append(
            f"\n{design}: the error of {AIM[0]} {BASELINE} samples with {np.median(needed):.0f} evaluations "
            f"({needed.min():.0f} to {needed.max():.0f}; the aim is {AIM[1]})."
        )
    return "\n".join(lines)


def draw(found: dict[str, dict[str, Errors]], path: Path) -> None:
    """Draw the mean error over each model's pictures against the number of evaluations."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    figure, axes = plt.subplots(1, len(found), figsize=(5 * len(found), 4), squeeze=False, layout="constrained")
    for axis, (name, errors) in zip(axes[0], found.items(), strict=True):
        for design, each in errors.items():
            axis.loglog(EVALUATIONS, np.sqrt((each.corrected() ** 2).mean(axis=0)), marker="o", label=design)
        axis.set(title=name, xlabel="evaluations of the model", ylabel="error of a coefficient, probability points")
        axis.set_xticks([128, 256, 512, 1000, 2048])
        for each in (axis.xaxis, axis.yaxis):
            each.set_major_formatter(ScalarFormatter())
            each.set_minor_formatter(ScalarFormatter() if each is axis.yaxis else "")
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    figure.savefig(path)


def main() -> None:
    """Measure, print tables in Markdown, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="Keep everything that is computed in this store.")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FACELIME_DATA"),
        help="Read xray/ and weights/ in this folder. [default: FACELIME_DATA]",
    )
    parser.add_argument("--seeds", type=int, default=3, help="Draw each design so many times. [default: 3]")
    parser.add_argument(
        "--reference", type=int, default=8192, help="Draw so many bernoulli samples for the reference. [default: 8192]"
    )
    parser.add_argument("--pictures", type=int, default=6, help="Explain so many pictures per model. [default: 6]")
    parser.add_argument(
        "--models",
        nargs="+",
        default=["photographs", "xrays"],
        choices=["photographs", "xrays"],
        help="Explain these models. [default: both]",
    )
    parser.add_argument("--figure", type=Path, help="Draw the curves into this SVG or PNG file.")
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the X-rays and weights are, with --data or FACELIME_DATA")
    about = machine.hardware()
    print(
        f"{about['processor']}, {about['cores']} cores; reference: {options.reference} {BASELINE} samples.\n",
        flush=True,
    )
    bench, found = Bench(options.cache, Path(options.data), options), {}
    for model in options.models:
        found[model] = bench.measure(*getattr(bench, model)())
        print(table(model, found[model]) + "\n", flush=True)
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()

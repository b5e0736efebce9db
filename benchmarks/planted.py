"""Plant something that a classifier relies on, and count how often each segmenter, fill and design finds it.

A tag stands in 95 % of the PNEUMONIA X-rays and in 5 % of the NORMAL ones, always in one place. There are tags of
several kinds. A logistic head on a frozen MobileNetV2 learns from these pictures. Drawn faces have a flush instead.

The script explains pictures with the tag that the head has not seen in training. It takes those where the probability
falls by at least 10 points without the tag, since the truth is known there. It evaluates all combinations of segmenter,
fill and design. Fewer evaluations are the first rows of many. The `lime` package can be measured too.

A segment counts as marked when the tag covers half of it, or when it holds a quarter of the tag. The segment that
holds most of the tag always counts.

*top 1*: the segment with the largest coefficient is marked (the pointing game: Zhang et al., IJCV 2018).
*top 3*: one of the three segments with the largest coefficients is marked.
*IoU*: overlap of the tag's pixels with the strongest segments. It takes as many of them as are marked.

    python benchmarks/planted.py --cache DIR [--data DIR] [--evaluations 50 150] [--segmenters …] [--fills …]
        [--designs …] [--kinds …] [--pictures 4] [--lime] [--openvino]

DIR keeps what is computed, a line for each combination and picture. The same command resumes. The tables show the
combinations that this command names.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tags
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tags import SIZE

from facelime_cli import choices, machine
from facelime_cli.choices import SEGMENTERS
from facelime_cli.core import faces, fills, masks, superpixels
from facelime_cli.core.linear import ridge
from facelime_cli.core.neighbours import nearest_unlike, thumbnails
from facelime_cli.core.surrogate import cosine_weights
from facelime_cli.models import backend, building, running, wrapping
from facelime_cli.sources import SPLITS
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.references import Store

Pixels = NDArray[np.uint8]
Found = dict[str, list[float]]

BATCH = 64
LEAST_BYTES = 8
"""Width of packed masks, enough for 64 segments."""
IMAGENET_CLASSES = 1000
SHARES = (0.05, 0.95)
"""Shares of the NORMAL and of the PNEUMONIA pictures that have the tag."""
RELIED_ON = 0.1
"""A head relies on a tag when its probability falls at least so much without it."""
HALF, QUARTER = 0.5, 0.25
"""A marked segment is covered so far by the tag, or holds so much of the tag."""
MEASURES = ("top 1", "top 3", "IoU")
TOP = 3
AIM = (0.95, 150)
"""The aim: 0.95 of top 1 with 150 evaluations."""
LIME = "lime_image"
FACES = "flush"
N_FACES = 300

SEGMENTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "quickshift": ("quickshift", {}),
    "quickshift-50": ("quickshift", {"segments": 50}),
    "slic": ("slic", {}),
    "slic-60": ("slic", {"segments": 60}),
    "felzenszwalb": ("felzenszwalb", {}),
    "watershed": ("watershed", {}),
    "grid": ("grid", {}),
    "hexagons": ("grid", {"cell": "hexagon"}),
}
"""Each method with the defaults of `segment`. Those of quickshift are lime's, which fix no number of segments."""
FILLS = tuple(choices.FILLS)
DESIGNS: dict[str, tuple[str, float]] = {
    "bernoulli .5": ("bernoulli", 0.5),
    "bernoulli .8": ("bernoulli", 0.8),
    "paired": ("paired", 0.5),
    "balanced": ("balanced", 0.5),
    "shapley": ("shapley", 0.5),
}
"""Each design with the chance of a segment to be kept. `exact` is left out: so many segments have too many masks."""


KINDS = {kind: tags.KINDS[kind] for kind in ("bright", "dark", "textured", "bar", "tint")}
"""A plate with a letter, light or dark; a fine pattern; a light bar over half of the width; a warm tint."""


@dataclass(frozen=True)
class Case:
    """A picture whose explanation is known.

    Attributes
    ----------
    name, kind : str
        The picture's, and its tag's.
    image : (SIZE, SIZE, 3) uint8 array
    truth : (SIZE, SIZE) bool array
        Where the tag stands.
    effect : float
        How far the probability falls without the tag.
    head : (1281,) float32 array
        The head that was trained with this tag, its bias last.
    """

    name: str
    kind: str
    image: Pixels
    truth: NDArray[np.bool_]
    effect: float
    head: NDArray[np.float32]


class Model:
    """A frozen MobileNetV2. A logistic head is fitted to its features for each tag.

    One compiled call gives the features for all heads.
    """

    def __init__(self, weights: Path, *, quick: bool) -> None:
        k = backend.keras()
        whole = building.application_with_weights("mobilenetv2", weights, IMAGENET_CLASSES, SIZE)
        inputs = k.Input((SIZE, SIZE, 3))
        pooled = k.Model(whole.input, whole.layers[-2].output)
        self.pooled = k.Model(inputs, pooled(wrapping.scaled(inputs, "-1..1", 3)))
        # Without a head: a compiled call keeps the weights of the moment when it is first called.
        self.call = running.compiled(self.pooled)
        self.quick = quick_pass(self.pooled) if quick else None

    def features(self, images: Pixels) -> NDArray[np.float32]:
        """Return the features (N, 1280) of pictures (N, H, W, 3) uint8."""
        if self.quick is not None:
            # The compiled network takes whole batches alone.
            spare = -len(images) % BATCH
            padded = np.pad(images, ((0, spare), (0, 0), (0, 0), (0, 0)))
            batches = [padded[first : first + BATCH].astype(np.float32) for first in range(0, len(padded), BATCH)]
            found = np.concatenate([self.quick(batch) for batch in batches])
            return found[: len(images)]
        return np.asarray(self.pooled.predict(images.astype(np.float32), batch_size=BATCH, verbose=0))

    def learn(self, images: Pixels, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weights (1281,) of a logistic head, the last one its bias."""
        return head_of(self.features(images), labels)

    def use(self, head: NDArray[np.float32]) -> None:
        """Answer with this head from now on."""
        self.head = head.astype(np.float64)

    def probabilities(self, images: Pixels) -> NDArray[np.float64]:
        """Return the probability of the class with the tag: (N,)."""
        return self.answers(self.features(images))

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the head's probabilities (N,) for features (N, 1280)."""
        log_odds = features @ self.head[:-1] + self.head[-1]
        return np.asarray(1 / (1 + np.exp(-log_odds)))

    def evaluate(
        self, image: Pixels, fill: Pixels, segments: NDArray[np.uint16], kept: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return the probabilities (S,) of perturbed pictures."""
        if self.quick is not None:
            features = []
            for some in np.array_split(kept, math.ceil(len(kept) / BATCH)):
                shown = some[:, segments][..., None]
                features.append(self.features(np.where(shown, image, fill)))
            return self.answers(np.concatenate(features))
        n, n_segments = kept.shape
        # Every other width is traced anew, so that few segments get the width of many.
        packed = masks.pack(kept, max(LEAST_BYTES, math.ceil(n_segments / 8)))
        packed = np.pad(packed, ((0, -n % BATCH), (0, 0)))
        pictures = np.stack([fill, image]).reshape(1, 2, -1, 3)
        index = np.zeros(BATCH, np.int32)
        labels = segments.reshape(1, -1).astype(np.int32)
        batches = [packed[first : first + BATCH] for first in range(0, len(packed), BATCH)]
        found = np.concatenate([self.call(batch, index, pictures, labels) for batch in batches])
        return self.answers(found[:n])


def head_of(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weights (1281,) of a logistic head for features (N, 1280), the last one its bias."""
    scaler = StandardScaler()
    scaled = scaler.fit_transform(features)
    fitted = LogisticRegression(C=0.01, max_iter=2000).fit(scaled, labels)
    # The scaling becomes part of the head, so that it takes features as they are.
    slopes = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - slopes @ scaler.mean_
    return np.append(slopes, bias).astype(np.float32)


def quick_pass(net: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a network's forward pass by OpenVINO in bfloat16.

    It is three times as fast on a processor with bfloat16 instructions.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        net.export(folder, format="tf_saved_model", verbose=False)
        model = openvino.convert_model(folder)
    model.reshape([BATCH, SIZE, SIZE, 3])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    return lambda images: np.array(compiled(images)[0])


class Bench:
    """Cases and their results, which are kept in a folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        options.cache.mkdir(parents=True, exist_ok=True)
        self.kept = options.cache / "found.jsonl"
        lines = self.kept.read_text().splitlines() if self.kept.exists() else []
        self.nearest: dict[str, Pixels] = {}
        self.known: dict[tuple[Any, ...], Found] = {tuple(key): found for key, found in map(json.loads, lines)}

    @cached_property
    def model(self) -> Model:
        """The network, loaded when something has to be computed."""
        return Model(
            Path(self.options.data) / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5",
            quick=self.options.openvino,
        )

    @cached_property
    def xrays(self) -> Artifact:
        """All X-rays, patients kept together."""
        words = [
            "preprocess",
            str(Path(self.options.data) / "xray"),
            "--size",
            str(SIZE),
            "--group-pattern",
            "kermany",
            "--store",
            str(self.options.cache),
            "--json",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "facelime_cli", *words], stdout=subprocess.PIPE, text=True, check=True
        )
        return Store(self.options.cache).stored("datasets", json.loads(done.stdout)["artifact"])

    def cases(self, kind: str) -> Iterator[Case]:
        """Yield the cases of one kind."""
        if kind == FACES:
            yield from self._faces()
            return
        images = self.xrays.read("images")
        labels = self.xrays.read("labels").astype(np.int64)
        split = self.xrays.read("split")
        rng = np.random.default_rng(0)
        has = rng.random(len(labels)) < np.array(SHARES)[labels]
        for place, tag in enumerate(KINDS[kind]):
            with_tag = np.stack([tag.planted(image, rng) for image in images])
            training = split == SPLITS.index("train")
            seen = np.where(has[:, None, None, None], with_tag, images)
            head = self.model.learn(seen[training], labels[training])
            self.model.use(head)
            others = np.flatnonzero((labels == 1) & ~training)
            effects = self.model.probabilities(with_tag[others]) - self.model.probabilities(images[others])
            relied = others[effects >= RELIED_ON]
            _say(f"{kind}, place {place + 1}", effects)
            for row in relied[: self.options.pictures]:
                effect = float(effects[others == row][0])
                yield Case(f"{kind}/{place}/{row}", kind, with_tag[row], tag.truth, effect, head)

    def _faces(self) -> Iterator[Case]:
        """Yield drawn faces with a flush."""
        drawn = [faces.draw(0, number, SIZE, flushed=bool(number % 2)) for number in range(N_FACES)]
        head = self.model.learn(np.stack([each.image for each in drawn]), np.arange(N_FACES) % 2)
        self.model.use(head)
        numbers = range(N_FACES, N_FACES + 4 * self.options.pictures)
        # The same faces twice, with and without the flush.
        flushed = [faces.draw(0, number, SIZE, flushed=True) for number in numbers]
        pale = [faces.draw(0, number, SIZE, flushed=False) for number in numbers]
        with_flush = self.model.probabilities(np.stack([each.image for each in flushed]))
        without = self.model.probabilities(np.stack([each.image for each in pale]))
        effects = with_flush - without
        _say(FACES, effects)
        chosen = np.flatnonzero(effects >= RELIED_ON)[: 2 * self.options.pictures]
        for place in chosen:
            yield Case(
                f"{FACES}/{numbers[place]}",
                FACES,
                flushed[place].image,
                flushed[place].truth.astype(np.bool_),
                float(effects[place]),
                head,
            )

    def measure(self, kind: str) -> None:
        """Compute what is not known yet of one kind."""
        for case in self.cases(kind):
            self.model.use(case.head)
            for segmenter in self.options.segmenters:
                choices_of_case = itertools.product(self.options.fills, self.options.designs)
                keys = [self._key(case, segmenter, fill, design) for fill, design in choices_of_case]
                if all(key in self.known for key in keys):
                    continue
                segments = segments_of(case.image, *SEGMENTATIONS[segmenter])
                for fill in self.options.fills:
                    self._measure(case, segmenter, segments, fill)
            key = self._key(case, LIME, LIME, LIME)
            if self.options.lime and key not in self.known:
                self._keep(key, self._lime(case))

    def _measure(self, case: Case, segmenter: str, segments: NDArray[np.uint16], fill: str) -> None:
        n_segments = int(segments.max()) + 1
        filled: Pixels | None = None
        for design in self.options.designs:
            key = self._key(case, segmenter, fill, design)
            if key in self.known:
                continue
            # Inpainting is slow, and all designs share one fill.
            if filled is None:
                filled = self._filled(case, segments, fill)
            name, probability = DESIGNS[design]
            draw = choices.DESIGNS[name].load()
            kept = draw(masks.key_of(0, case.name, "mask"), max(self.options.evaluations), n_segments, probability)
            values = self.model.evaluate(case.image, filled, segments, kept)
            rows = [coefficients_of(design, kept[:n], values[:n]) for n in self.options.evaluations]
            self._keep(key, judged(rows, segments, case.truth) | {"segments": [n_segments]})

    def _filled(self, case: Case, segments: NDArray[np.uint16], fill: str) -> Pixels:
        """Return a fill as `perturb` makes it."""
        own: dict[str, dict[str, Any]] = {
            "noise": {"key": masks.key_of(0, case.name, "fill")},
            "blur": {"sigma": round(fills.BLUR_SHARE * SIZE, 3)},
        }
        if fill == "dataset-mean":
            own[fill] = {"colour": self._other(case).mean(axis=(0, 1)).round().astype(int)}
        if fill == "image":
            own[fill] = {"picture": self._other(case)}
        if fill == "nearest-unlike":
            own[fill] = {"picture": self._nearest_unlike(case)}
        return choices.FILLS[fill].load()(case.image, segments, **own.get(fill, {}))

    def _other(self, case: Case) -> Pixels:
        """Return a picture of the other class, without a tag."""
        if case.kind == FACES:
            return faces.draw(0, 0, SIZE, flushed=False).image
        normal = self.xrays.read("labels") == 0
        training = self.xrays.read("split") == SPLITS.index("train")
        rows = np.flatnonzero(normal & training)
        return np.asarray(self.xrays.read("images", [int(rows[0])])[0])

    def _nearest_unlike(self, case: Case) -> Pixels:
        """Return the most similar training picture of the other class, as the classifier saw it. A few have the tag."""
        if case.name in self.nearest:
            return self.nearest[case.name]
        if case.kind == FACES:
            pool = np.stack([faces.draw(0, number, SIZE, flushed=False).image for number in range(0, N_FACES, 2)])
        else:
            images = self.xrays.read("images")
            labels = self.xrays.read("labels")
            split = self.xrays.read("split")
            # The same generator as in `cases`, for the same pictures with the tag.
            rng = np.random.default_rng(0)
            has = rng.random(len(labels)) < np.array(SHARES)[labels]
            rows = np.flatnonzero((labels == 0) & (split == SPLITS.index("train")))
            tag = KINDS[case.kind][int(case.name.split("/")[1])]
            pool = np.stack([tag.planted(images[row], rng) if has[row] else images[row] for row in rows])
        every = np.concatenate([case.image[None], pool])
        n = np.arange(len(every))
        classes = (n > 0).astype(np.int16)
        found = nearest_unlike(thumbnails(every), classes, n, n[:1], n[1:], 1)
        self.nearest[case.name] = every[found[0, 0]]
        return self.nearest[case.name]

    def _lime(self, case: Case) -> Found:
        """Return what the `lime` package itself finds, with its own defaults."""
        from lime.lime_image import LimeImageExplainer

        def classify(images: Any) -> NDArray[np.float64]:
            p = self.model.probabilities(np.asarray(images, np.uint8))
            return np.stack([1 - p, p], axis=1)

        rows, segments = [], None
        for n in self.options.evaluations:
            answer = LimeImageExplainer(random_state=0).explain_instance(
                case.image, classify, batch_size=BATCH, labels=(1,), top_labels=None, num_samples=n
            )
            _, numbered = np.unique(answer.segments, return_inverse=True)
            segments = numbered.reshape(answer.segments.shape).astype(np.uint16)
            coefficients = np.zeros(int(segments.max()) + 1)
            for segment, weight in answer.local_exp[1]:
                coefficients[segment] = weight
            rows.append(coefficients)
        assert segments is not None
        return judged(rows, segments, case.truth) | {"segments": [float(segments.max() + 1)]}

    def _key(self, case: Case, *choice: str) -> tuple[Any, ...]:
        return (case.name, *choice, *self.options.evaluations)

    def _keep(self, key: tuple[Any, ...], found: Found) -> None:
        self.known[key] = found
        with self.kept.open("a") as stream:
            stream.write(json.dumps([key, found]) + "\n")

    def results(self, kinds: list[str], choice: tuple[str, ...], measure: str) -> NDArray[np.float64]:
        """Return one measure of every case: (case, evaluations)."""
        wanted = (*choice, *self.options.evaluations)
        rows = []
        for key, found in self.known.items():
            kind = key[0].split("/")[0]
            if key[1:] == wanted and kind in kinds:
                rows.append(found[measure])
        return np.array(rows)


def segments_of(image: Pixels, method: str, own: dict[str, Any]) -> NDArray[np.uint16]:
    """Return a picture's segments, with the defaults of `segment` and with what a segmentation sets itself."""
    settings = SEGMENTERS[method].settings
    # None stands for a setting that is not given, but for `connectivity` it is a value.
    given = {name: value for name, value in settings.items() if value is not None or name == "connectivity"}
    return superpixels.segment(image, method, {**given, **own})


def _say(what: str, effects: NDArray[np.float64]) -> None:
    enough = int((effects >= RELIED_ON).sum())
    print(
        f"{what}: raises the probability by {100 * effects.mean():.0f} points on average, "
        f"by {100 * RELIED_ON:.0f} or more in {enough} of {len(effects)} pictures",
        file=sys.stderr,
    )


def coefficients_of(design: str, kept: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ridge coefficients (K,) with lime's weights, or Shapley values for their own design."""
    z = kept.astype(np.float64)
    if design == "shapley":
        from facelime_cli.core import shapley

        weights = choices.loaded(choices.DESIGNS["shapley"].weights)(kept)
        fit = shapley.shapley(z, values[:, None], weights)
    else:
        fit = ridge(z, values[:, None], cosine_weights(kept, 0.25), alpha=1.0)
    return np.asarray(fit.coefficients[:, 0])


def marked_by(truth: NDArray[np.bool_], segments: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return which segments (K,) count as the tag."""
    sizes = np.bincount(segments.ravel())
    inside = np.bincount(segments.ravel(), weights=truth.ravel())
    return np.asarray((inside >= HALF * sizes) | (inside >= QUARTER * truth.sum()) | (inside == inside.max()))


def judged(rows: list[NDArray[np.float64]], segments: NDArray[np.uint16], truth: NDArray[np.bool_]) -> Found:
    """Return the measures of coefficients, one value for each number of evaluations."""
    marked = marked_by(truth, segments)
    found: Found = {measure: [] for measure in MEASURES}
    for coefficients in rows:
        order = np.argsort(-coefficients, kind="stable")
        strongest = order[: int(marked.sum())]
        pixels = np.isin(segments, strongest)
        overlap = (pixels & truth).sum() / (pixels | truth).sum()
        values = (marked[order[0]], marked[order[:TOP]].any(), overlap)
        for measure, value in zip(MEASURES, values, strict=True):
            found[measure].append(float(value))
    return found


def tables(bench: Bench) -> Iterator[str]:
    """Yield Markdown tables.

    The first hold every combination at the aim's evaluations. The next holds the best combinations by kind, the last
    the best by number of evaluations.
    """
    options = bench.options
    kinds, every = options.kinds, list(itertools.product(options.segmenters, options.fills, options.designs))
    place = options.evaluations.index(AIM[1]) if AIM[1] in options.evaluations else -1
    at = options.evaluations[place]

    def mean(choice: tuple[str, ...], measure: str, among: list[str], column: int = place) -> str:
        found = bench.results(among, choice, measure)
        return f"{found[:, column].mean():.2f}" if len(found) else "–"

    cases = len(bench.results(kinds, every[0], MEASURES[0]))
    for design in options.designs:
        yield f"{design}, {at} evaluations, {cases} pictures: top 1 (top 3, IoU)\n"
        yield "| segmenter | " + " | ".join(options.fills) + " |"
        yield "| --- " * (1 + len(options.fills)) + "|"
        for segmenter in options.segmenters:
            cells = [
                "{} ({}, {})".format(*(mean((segmenter, fill, design), measure, kinds) for measure in MEASURES))
                for fill in options.fills
            ]
            yield f"| {segmenter} | " + " | ".join(cells) + " |"
        yield ""
    ranked = sorted(every, key=lambda choice: tuple(-float(mean(choice, measure, kinds)) for measure in MEASURES))[
        : options.best
    ]
    if options.lime:
        ranked.append((LIME, LIME, LIME))
    names = [choice[0] if choice[0] == LIME else ", ".join(choice) for choice in ranked]
    yield (
        f"Top 1 with {at} evaluations by kind:\n\n| choice | "
        + " | ".join(f"{kind} ({len(bench.results([kind], every[0], MEASURES[0]))})" for kind in kinds)
        + " |"
    )
    yield "| --- " * (1 + len(kinds)) + "|"
    for name, choice in zip(names, ranked, strict=True):
        yield f"| {name} | " + " | ".join(mean(choice, "top 1", [kind]) for kind in kinds) + " |"
    yield "\nTop 1 (top 3, IoU) by evaluations:\n\n| choice | " + " | ".join(map(str, options.evaluations)) + " |"
    yield "| --- " * (1 + len(options.evaluations)) + "|"
    for name, choice in zip(names, ranked, strict=True):
        cells = []
        for i in range(len(options.evaluations)):
            first, second, third = (mean(choice, measure, kinds, i) for measure in MEASURES)
            cells.append(f"{first} ({second}, {third})")
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="Keep everything that is computed in this folder.")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FACELIME_DATA"),
        help="Read xray/ and weights/ in this folder. [default: FACELIME_DATA]",
    )
    parser.add_argument(
        "--evaluations",
        nargs="+",
        type=int,
        default=[50, 150],
        help="Explain with these numbers of evaluations. [default: 50 150]",
    )
    for option, known in (("segmenters", SEGMENTATIONS), ("fills", FILLS), ("designs", DESIGNS)):
        parser.add_argument(
            f"--{option}", nargs="+", default=list(known), choices=list(known), help="Measure these. [default: all]"
        )
    kinds = [*KINDS, FACES]
    parser.add_argument("--kinds", nargs="+", default=kinds, choices=kinds, help="Plant these. [default: all]")
    parser.add_argument(
        "--pictures",
        type=int,
        default=4,
        help="Explain so many pictures for each kind and place, and twice as many faces. [default: 4]",
    )
    parser.add_argument(
        "--best", type=int, default=8, help="List so many combinations in the later tables. [default: 8]"
    )
    parser.add_argument(
        "--openvino",
        action="store_true",
        help="Evaluate with OpenVINO in bfloat16 (pip install openvino), not with TensorFlow in float32.",
    )
    parser.add_argument("--lime", action="store_true", help="Measure the lime package too.")
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the X-rays and weights are, with --data or FACELIME_DATA")
    options.evaluations.sort()
    about = machine.hardware()
    precision = "OpenVINO bfloat16" if options.openvino else "float32"
    print(f"{about['processor']}, {about['cores']} cores; {SIZE} px, {precision}.\n", flush=True)
    bench = Bench(options)
    for kind in options.kinds:
        bench.measure(kind)
    print("\n".join(tables(bench)))


if __name__ == "__main__":
    main()

"""Pictures with a planted tag whose explanation is known: X-rays, skin and faces, two networks for each tag.

A tag stands in 95 % of the pictures of class 1 and in 5 % of those of class 0, always in one place. Class 1 is
PNEUMONIA for X-rays, everything but nevi for skin, and a random half of the faces. Pictures of one patient are all in
training, or none is.

*frozen*: a logistic head on the features of a frozen MobileNetV2.
*trained*: the blocks from 13 on, and the head, trained on the pictures with their tags. Both networks share the blocks
before them. So a perturbed picture passes these once.

A picture that no network has seen counts as a case when two things hold. The probability falls by at least 10 points
without the tag. And of all regions that are swapped with the original without a tag, one at a time, the region that
lowers the log-odds most is one that the tag marks.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import planted
from numpy.typing import NDArray
from planted import head_of, marked_by, segments_of
from tags import FACES_ALONE, KINDS, SIZE, Pixels, Tag

from facelime_cli.core import masks, neighbours
from facelime_cli.models import backend, building, wrapping

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Bools = NDArray[np.bool_]
Labels = NDArray[np.uint16]

SETS = ("faces", "skin", "xray")
NETWORKS = ("frozen", "trained")
SHARES = (0.05, 0.95)
"""Shares of the pictures of class 0 and of class 1 that have the tag."""
HELD_OUT = 0.3
"""Share of the patients whose pictures no network is trained on."""
BATCH = 64
CUT = "block_12_add"
"""The last layer that both networks share."""
STEPS, STEP_PICTURES, RATE = 60, 32, 5e-4
"""How the last blocks are trained: steps of Adam, pictures of a step, learning rate."""
N_FEATURES = 1280
"""What a head sees."""
N_DONORS = 8
CARRIER = 40
"""Segments that a picture is asked for, and that regions are swapped in."""


@dataclass(frozen=True)
class Pictures:
    """A set of pictures in two classes.

    Attributes
    ----------
    name : str
    images : (N, SIZE, SIZE, 3) uint8 array
    classes : (N,) int64 array
        0 or 1.
    groups : (N,) int64 array
        Equal for pictures of one patient.
    training : (N,) bool array
    """

    name: str
    images: Pixels
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    training: Bools


def pictures(name: str, data: Path) -> Pictures:
    """Return a set of `SETS`."""
    from PIL import Image

    rng = np.random.default_rng(0)
    files, classes, patients = {"faces": _faces, "skin": _skin, "xray": _xrays}[name](data, rng)
    images = [np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE))) for file in files]
    known, groups = np.unique(patients, return_inverse=True)
    held_out = rng.random(len(known)) < HELD_OUT
    return Pictures(name, np.stack(images), np.array(classes), groups, ~held_out[groups])


Listed = tuple[list[Path], list[int], list[str]]


def _faces(data: Path, rng: np.random.Generator) -> Listed:
    files = sorted((data / "faces" / "normal").iterdir())
    classes = rng.permutation(np.arange(len(files)) % 2).tolist()
    return files, classes, [file.name for file in files]


def _skin(data: Path, _: np.random.Generator) -> Listed:
    rows = _rows(data / "skin" / "metadata.csv")
    files = [data / "skin" / "images" / f"{row['image_id']}.jpg" for row in rows]
    return files, [int(row["dx"] != "nv") for row in rows], [row["lesion_id"] for row in rows]


def _xrays(data: Path, _: np.random.Generator) -> Listed:
    rows = _rows(data / "xray" / "index.csv")
    files = [data / "xray" / row["file"] for row in rows]
    return files, [int(row["label"] == "PNEUMONIA") for row in rows], [row["patient"] for row in rows]


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


@dataclass(frozen=True)
class Network:
    """What follows the shared blocks.

    Attributes
    ----------
    tail : callable
        From shared features (BATCH, 8, 8, 96) to pooled ones (BATCH, 1280).
    head : (1281,) float64 array
        Slopes, and the bias last.
    """

    tail: Callable[[Features], Features]
    head: Floats

    def log_odds(self, features: Features) -> Floats:
        """Return the log-odds of class 1 for shared features: (N,)."""
        return np.asarray(in_batches(self.tail, features) @ self.head[:-1] + self.head[-1])


def in_batches(call: Callable[[Any], Features], arrays: NDArray[Any]) -> Features:
    """Return what a call that takes whole batches makes of any number of arrays."""
    found = []
    for first in range(0, len(arrays), BATCH):
        some = arrays[first : first + BATCH].astype(np.float32)
        spare = np.zeros((BATCH - len(some), *some.shape[1:]), np.float32)
        found.append(call(np.concatenate([some, spare]))[: len(some)])
    return np.concatenate(found)


class Blocks:
    """The shared blocks of MobileNetV2, and what can follow them."""

    def __init__(self, options: argparse.Namespace) -> None:
        k = backend.keras()
        weights = Path(options.data) / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5"
        whole = building.application_with_weights("mobilenetv2", weights, planted.IMAGENET_CLASSES, SIZE)
        inputs = k.Input((SIZE, SIZE, 3))
        cut = whole.get_layer(CUT).output
        shared = k.Model(whole.input, cut)
        self.threads = options.threads
        self.cache = options.cache / "networks"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.shape = [BATCH, *cut.shape[1:]]
        self.shared = self._converted(
            k.Model(inputs, shared(wrapping.scaled(inputs, "-1..1", 3))), [BATCH, SIZE, SIZE, 3]
        )
        self.tail = k.Model(cut, whole.layers[-2].output)
        self.untrained = self.tail.get_weights()
        self.frozen = self._converted(self.tail, self.shape)

    def features(self, images: Pixels) -> Features:
        """Return the shared features (N, 8, 8, 96) of pictures (N, SIZE, SIZE, 3) uint8."""
        return in_batches(self.shared, images)

    def networks(self, name: str, features: Features, classes: NDArray[np.int64]) -> list[Network]:
        """Return the frozen and the trained network for these training pictures, from the cache where it has them."""
        heads = self.cache / f"{name}.npy"
        tail = self.cache / f"{name}.xml"
        if not heads.exists():
            self.tail.set_weights(self.untrained)
            frozen = head_of(in_batches(self.frozen, features), classes)
            trained = self._trained(features, classes)
            self._converted(self.tail, self.shape, tail)
            np.save(heads, np.stack([frozen, trained]).astype(np.float64))
        return self.kept(name)

    def kept(self, name: str) -> list[Network]:
        """Return the frozen and the trained network that the cache has."""
        frozen, trained = np.load(self.cache / f"{name}.npy")
        return [Network(self.frozen, frozen), Network(self._compiled(self.cache / f"{name}.xml"), trained)]

    def maps(self, name: str) -> list[Callable[[Features], Features]]:
        """Return what gives the last feature maps (BATCH, 4, 4, 1280) of both networks."""
        return [self._frozen_maps, self._compiled(self._without_pooling(self.cache / f"{name}.xml"))]

    @cached_property
    def _frozen_maps(self) -> Callable[[Features], Features]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "frozen.xml"
            self._converted(self.tail, self.shape, file)
            return self._compiled(self._without_pooling(file))

    def _without_pooling(self, file: Path) -> Any:
        """Return a kept network that ends before its mean over all places, places first."""
        import openvino
        from openvino import opset13

        whole = openvino.Core().read_model(file)
        pooling = next(each for each in whole.get_ordered_ops()[::-1] if each.get_type_name() == "ReduceMean")
        pooled = pooling.input_value(0)
        order = [0, 2, 3, 1] if pooled.get_partial_shape()[1].get_length() == N_FEATURES else [0, 1, 2, 3]
        turned = opset13.transpose(pooled, opset13.constant(order))
        return openvino.Model([turned], whole.get_parameters())

    def _trained(self, features: Features, classes: NDArray[np.int64]) -> Features:
        """Train the last blocks and return the head's weights (1281,)."""
        k = backend.keras()
        self._trainer.set_weights([*self.untrained, np.zeros((N_FEATURES, 1), np.float32), np.zeros(1, np.float32)])
        self._trainer.compile(k.optimizers.Adam(RATE), k.losses.BinaryCrossentropy(from_logits=True))
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            rows = rng.choice(len(classes), STEP_PICTURES)
            self._trainer.train_on_batch(features[rows], classes[rows, None].astype(np.float32))
        slopes, bias = self._trainer.layers[-1].get_weights()
        return np.append(slopes[:, 0], bias)

    @cached_property
    def _trainer(self) -> Any:
        k = backend.keras()
        for layer in self.tail.layers:
            # The statistics of so few pictures would be worse than those there are.
            layer.trainable = not isinstance(layer, k.layers.BatchNormalization)
        return k.Sequential([self.tail, k.layers.Dense(1)])

    def _converted(self, net: Any, shape: list[int], file: Path | None = None) -> Callable[[Features], Features]:
        """Return a network's forward pass by OpenVINO in bfloat16, and keep the network in a file."""
        import openvino

        with tempfile.TemporaryDirectory() as folder:
            net.export(folder, format="tf_saved_model", verbose=False)
            model = openvino.convert_model(folder)
            model.reshape(shape)
            if file is not None:
                openvino.save_model(model, file, compress_to_fp16=False)
            return self._compiled(model)

    def _compiled(self, model: Any) -> Callable[[Features], Features]:
        import openvino

        # Pinned, every process of a machine would take the same core.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "ENABLE_CPU_PINNING": False}
        if self.threads:
            settings["INFERENCE_NUM_THREADS"] = self.threads
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        return lambda images: np.array(compiled(images)[0])


@dataclass(frozen=True)
class Case:
    """A held-out picture with a tag.

    Attributes
    ----------
    name : str
        Set, kind, place and row of the picture.
    image, original : (SIZE, SIZE, 3) uint8 arrays
        With and without the tag.
    truth : (SIZE, SIZE) bool array
        Where the tag stands.
    carrier : (SIZE, SIZE) uint16 array
        Segments of the picture with its tag.
    effects : (2,) float64 array
        How far the probability of each network falls without the tag.
    swapped : (2, K) float64 array
        How far the log-odds fall when one region is swapped with the original.
    group : int
        The picture's patient.
    """

    name: str
    image: Pixels
    original: Pixels
    truth: Bools
    carrier: Labels
    effects: Floats
    swapped: Floats
    group: int

    @property
    def verified(self) -> Bools:
        """For which networks it counts: (2,) bool."""
        marked = marked_by(self.truth, self.carrier)
        return np.asarray((self.effects >= planted.RELIED_ON) & marked[self.swapped.argmax(axis=1)])


class Unit:
    """One tag in one place, in the pictures of one set, with its two networks."""

    def __init__(self, shown: Pictures, kind: str, place: int, blocks: Blocks) -> None:
        self.shown, self.blocks = shown, blocks
        self.name = f"{shown.name}/{kind}/{place}"
        self.tag: Tag = KINDS[kind][place]
        rng = np.random.default_rng(0)
        has = rng.random(len(shown.classes)) < np.array(SHARES)[shown.classes]
        with_tag = np.stack([self.tag.planted(image, rng) for image in shown.images])
        self.with_tag = with_tag
        self.seen = np.where(has[:, None, None, None], with_tag, shown.images)[shown.training]
        self.seen_classes = shown.classes[shown.training]
        self.seen_groups = shown.groups[shown.training]
        features = blocks.features(self.seen)
        self.networks = blocks.networks(self.name.replace("/", "-"), features, self.seen_classes)

    def log_odds(self, images: Pixels) -> Floats:
        """Return both networks' log-odds of class 1: (2, N)."""
        features = self.blocks.features(images)
        return np.stack([network.log_odds(features) for network in self.networks])

    def candidates(self) -> Iterator[Case]:
        """Yield the held-out pictures of class 1 that a network relies on the tag for, those of both first."""
        rows = np.flatnonzero(~self.shown.training & (self.shown.classes == 1))
        # Other pictures for each tag: with the same ones, a few donors would decide everything.
        rng = np.random.default_rng(masks.key_of(0, self.name, "pictures"))
        rows = rng.permutation(rows)
        given = probability(self.log_odds(self.with_tag[rows]))
        without = probability(self.log_odds(self.shown.images[rows]))
        effects = given - without
        relied = effects >= planted.RELIED_ON
        order = np.argsort(-relied.sum(axis=0), kind="stable")
        for at in order:
            if relied[:, at].any():
                yield self._case(int(rows[at]), effects[:, at])

    def _case(self, row: int, effects: Floats) -> Case:
        image, original = self.with_tag[row], self.shown.images[row]
        carrier = segments_of(image, "slic", {"segments": CARRIER})
        regions = np.arange(carrier.max() + 1)
        composed = np.where((carrier == regions[:, None, None])[..., None], original, image)
        answers = self.log_odds(np.concatenate([image[None], composed]))
        swapped = answers[:, :1] - answers[:, 1:]
        group = int(self.shown.groups[row])
        return Case(f"{self.name}/{row}", image, original, self.tag.truth, carrier, effects, swapped, group)

    def donors(self, image: Pixels, group: int) -> Pixels:
        """Return the most similar training pictures of class 0, each of another patient: (D, SIZE, SIZE, 3) uint8."""
        thumbs = neighbours.thumbnails(np.concatenate([self.seen, image[None]]))
        own = len(self.seen)
        classes = np.append(self.seen_classes, 1).astype(np.int16)
        groups = np.append(self.seen_groups, group)
        pool = np.flatnonzero(classes == 0)
        found = neighbours.nearest_unlike(thumbs, classes, groups, np.array([own]), pool, N_DONORS)[0]
        return self.seen[found]


def probability(log_odds: Floats) -> Floats:
    """Return probabilities of log-odds."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def units(kinds: list[str], rounds: int) -> Iterator[tuple[str, str, int]]:
    """Yield sets, kinds and places, so that early ones are of all kinds and sets."""
    for turn in range(rounds):
        for first, name in enumerate(SETS):
            for number, kind in enumerate(kinds):
                # Sets by turns, so that two kinds that follow each other are of two sets.
                at = SETS[(first + number) % len(SETS)] if kind not in FACES_ALONE else name
                if kind in FACES_ALONE and at != "faces":
                    continue
                places = len(KINDS[kind])
                if turn < places:
                    yield at, kind, (turn + SETS.index(at)) % places

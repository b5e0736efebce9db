"""Time composition and forward pass on a graphics card against the bare forward pass, lime's loop and Captum.

This script needs Keras, h5py, NumPy, and torch, JAX or TensorFlow. It needs neither zarr nor lime. facelime's side is
the compiled call of `predict`, fed from a thread as `predict` feeds it. lime's loop is that of lime 0.2.0.1
(`lime_image.data_labels`), with batches of 10 for Keras `predict`. Weights are random, since speed does not depend on
them. All are measured in turns. Figures are medians of the rounds.

    KERAS_BACKEND=torch python benchmarks/gpu.py [--networks inceptionv3 mobilenetv2] [--batches 32 128 512 1024]
        [--precisions float32 tf32 bfloat16] [--evaluations 4096] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

# facelime need not be installed on the machine with the card.
sys.path.insert(0, str(Path(__file__).parent.parent))

from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, building, running, wrapping
from facelime_cli.models.backbones import BACKBONES
from facelime_cli.predicting.device import Device

SEGMENTS = 64
LIME_BATCH = 10
AHEAD = 2
"""Batches that wait for the device, as in `predict`."""
LIME = "lime's loop, float32"
LIME_EVALUATIONS = 500
"""Few, since the loop is slow and its rate does not depend on their number."""


def picture(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a picture (size, size, 3) uint8, its fill and its segments (size, size) int32: a grid."""
    rng = np.random.default_rng(0)
    side = int(SEGMENTS**0.5)
    place = np.arange(size) * side // size
    segments = (place[:, None] * side + place).astype(np.int32)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    return image, np.full_like(image, 127), segments


def rate(work: Callable[[int], Any], evaluations: int, batch: int) -> float:
    """Return evaluations per second. The first call compiles, and is not counted."""
    work(batch)
    begun = time.perf_counter()
    work(evaluations)
    return evaluations / (time.perf_counter() - begun)


def bare(net: Any, size: int, batch: int) -> Callable[[int], Any]:
    """Return the compiled forward pass over a batch that lies on the device."""
    call = running.forward(net)
    values = backend.on_device(np.repeat(picture(size)[0][None], batch, axis=0).astype(np.float32))
    return lambda evaluations: [call(values) for _ in range(-(-evaluations // batch))]


def streamed(net: Any, size: int, batch: int) -> Callable[[int], Any]:
    """Return facelime's stream: packed masks in, composition and forward pass in one call, answers out."""
    image, fill, segments = picture(size)
    call, device = running.compiled(net), Device()
    pictures = backend.on_device(np.stack([fill, image])[None].reshape(1, 2, -1, 3))
    labels = backend.on_device(segments.reshape(1, -1))
    rng = np.random.default_rng(1)

    def work(evaluations: int) -> None:
        pending: list[Future[Any]] = []
        for _ in range(-(-evaluations // batch)):
            packed = rng.integers(0, 256, (batch, SEGMENTS // 8), dtype=np.uint8)
            pending.append(device.submit(call, packed, np.zeros(batch, np.int32), pictures, labels))
            if len(pending) >= AHEAD:
                device.wait(pending.pop(0))
        for each in pending:
            device.wait(each)

    return work


def lime_loop(net: Any, size: int) -> Callable[[int], Any]:
    """Return lime's loop: NumPy makes picture by picture, and Keras `predict` gets ten of them at a time."""
    image, fill, segments = picture(size)
    rng = np.random.default_rng(2)

    def work(evaluations: int) -> None:
        rows: list[np.ndarray] = []
        for mask in rng.integers(0, 2, (evaluations, SEGMENTS)):
            made = image.copy()
            hidden = np.zeros(segments.shape, bool)
            for off in np.flatnonzero(mask == 0):
                hidden[segments == off] = True
            made[hidden] = fill[hidden]
            rows.append(made)
            if len(rows) == LIME_BATCH:
                net.predict(np.array(rows, np.float32), verbose=0)
                rows.clear()

    return work


def captum(net: Any, size: int, batch: int) -> Callable[[int], Any]:
    """Return Captum's Lime on the same network, which must run on torch."""
    import torch
    from captum.attr import Lime

    image, _, segments = picture(size)
    values = backend.on_device(image[None].astype(np.float32))
    method = Lime(lambda x: net(x, training=False))
    on_device = torch.as_tensor(segments.astype(np.int64), device=values.device)
    labels = on_device[None, :, :, None]

    def work(evaluations: int) -> None:
        with torch.no_grad():
            method.attribute(values, target=1, feature_mask=labels, n_samples=evaluations, perturbations_per_eval=batch)

    return work


def contenders(backbone: str, batch: int, options: argparse.Namespace) -> dict[str, Callable[[], float | str]]:
    """Return what is measured, by name. Each returns evaluations per second, or the reason why there are none."""
    size = BACKBONES[backbone].size
    net = building.build(building.Architecture(backbone, size, 2, freeze="all")).whole

    def measured(
        make: Callable[[], Callable[[int], Any]], precision: str, evaluations: int
    ) -> Callable[[], float | str]:
        def measure() -> float | str:
            try:
                backend.compute_with(precision)
                return rate(make(), evaluations, batch)
            except (FacelimeError, ImportError) as why:
                return str(why)

        return measure

    found = {}
    for precision in options.precisions:
        its = wrapping.in_precision(net, precision)
        found[f"bare, {precision}"] = measured(lambda its=its: bare(its, size, batch), precision, options.evaluations)
        found[f"facelime, {precision}"] = measured(
            lambda its=its: streamed(its, size, batch), precision, options.evaluations
        )
    found[LIME] = measured(lambda: lime_loop(net, size), "float32", LIME_EVALUATIONS)
    if backend.keras().backend.backend() == "torch":
        found["Captum Lime, float32"] = measured(lambda: captum(net, size, batch), "float32", options.evaluations)
    return found


def table(backbone: str, batch: int, options: argparse.Namespace) -> list[str]:
    """Measure one network with one batch size, and return its rows in Markdown."""
    said: dict[str, list[float]] = defaultdict(list)
    failed: dict[str, str] = {}
    for number in range(options.rounds):
        for name, measure in contenders(backbone, batch, options).items():
            found = measure()
            if isinstance(found, str):
                failed[name] = found
            else:
                said[name].append(found)
            print(f"{backbone}, batch {batch}, round {number + 1}, {name}: {found}", file=sys.stderr, flush=True)

    def against(name: str, other: str) -> str:
        pairs = [a / b for a, b in zip(said[name], said.get(other, []), strict=False)]
        return f"{statistics.median(pairs):.2f}" if pairs else "–"

    rows = []
    for name, each in said.items():
        kind, _, precision = name.partition(", ")
        to_bare = "–" if kind == "bare" else against(name, f"bare, {precision}")
        rows.append(
            f"| {backbone} | {batch} | {name} | {statistics.median(each):.1f} | {to_bare} | {against(name, LIME)} |"
        )
    return rows + [f"| {backbone} | {batch} | {name} | {why} | – | – |" for name, why in failed.items()]


def main() -> None:
    """Measure and print in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["inceptionv3", "mobilenetv2"],
        choices=[name for name, each in BACKBONES.items() if each.application],
        help="Measure these networks. [default: inceptionv3 mobilenetv2]",
    )
    parser.add_argument(
        "--batches",
        nargs="+",
        type=int,
        default=[32, 128, 512, 1024],
        help="Measure these batch sizes. [default: 32 128 512 1024]",
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["float32", "tf32", "bfloat16"],
        choices=["float32", "tf32", "bfloat16"],
        help="Measure these precisions. [default: all three]",
    )
    parser.add_argument("--evaluations", type=int, default=4096, help="Time so many evaluations. [default: 4096]")
    parser.add_argument("--rounds", type=int, default=3, help="Measure so many times. [default: 3]")
    options = parser.parse_args()
    engine = backend.engine()
    cards = ", ".join(engine["cards"]) or "no graphics card"
    print(
        f"Keras {engine['keras']} on {engine['backend']} {engine['version']}; {cards}; "
        f"{engine['processor']}, {engine['cores']} cores.\n"
    )
    print("| network | batch | what | evaluations/s | ÷ bare, same precision | ÷ lime's loop |")
    print("| --- | --- | --- | --- | --- | --- |")
    for backbone in options.networks:
        for batch in options.batches:
            print("\n".join(table(backbone, batch, options)), flush=True)


if __name__ == "__main__":
    main()

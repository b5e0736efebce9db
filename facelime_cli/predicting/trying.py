"""How fast a model answers: a few batches of drawn pictures, before there are segments or masks."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import runtimes
from facelime_cli.core import shapes
from facelime_cli.predicting.device import Device
from facelime_cli.predicting.run import (
    ACCELERATOR_BATCH,
    PROCESSOR_BATCH,
    DistinctMasks,
    evaluate,
    seconds_of_batch,
)

if TYPE_CHECKING:
    from facelime_cli.core.shapes import Sides
    from facelime_cli.engine import Context
    from facelime_cli.store.artifacts import Artifact

SEGMENTS, SAMPLES, SEED = 48, 256, 1
"""Of the drawn picture. Their numbers hardly count: the network takes the time."""


def speed_of(model: Artifact, sides: Sides, context: Context) -> tuple[float, float]:
    """Return how fast a model answers pictures of a size, as `predict` asks it.

    Parameters
    ----------
    model : Artifact
    sides : (int, int)
        Height and width of the pictures, in pixels.
    context : Context

    Returns
    -------
    rate : float
        Evaluations a second, in batches of the usual size.
    start : float
        Seconds until the first batch is answered: loading and compiling.
    """
    from facelime_cli.models import backend

    begun, device = time.monotonic(), Device()
    how = runtimes.usual(model)
    if sides != shapes.sides(model.facts["size"]):
        how = replace(how, resize_from=sides)
    context.console.note(f"loading {model.reference}")
    classifier = device.wait(device.submit(partial(runtimes.load, model, how, members=True)))
    its, host = _drawn(sides)
    arrays = device.wait(device.submit(classifier.upload, *host))
    batch = ACCELERATOR_BATCH if runtimes.on_accelerator(how.runtime) else PROCESSOR_BATCH

    def call(rows: Any) -> Any:
        return device.wait(device.submit(evaluate, classifier, its, rows, arrays, batch))

    while True:
        try:
            call(np.arange(batch) % its.total)
            start = time.monotonic() - begun
            return batch / seconds_of_batch(call, its.total, batch), start
        except backend.DeviceMemoryError:
            if batch == 1:
                raise
            batch //= 2


def _drawn(sides: Sides) -> tuple[DistinctMasks, tuple[Any, Any]]:
    """Return masks of one picture, and the picture as a classifier uploads it."""
    height, width = sides
    random = np.random.default_rng(SEED)
    packed = random.integers(0, 256, (SAMPLES, SEGMENTS // 8), np.uint8)
    pixels = random.integers(0, 256, (1, 2, height * width, 3), np.uint8)
    segments = (np.arange(height * width, dtype=np.int32) * SEGMENTS // (height * width))[None]
    return DistinctMasks.of([packed]), (pixels, segments)

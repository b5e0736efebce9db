"""Classifiers that read whole pictures, composed in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.answering import around
from facelime_cli.answering.runtimes import KERAS, Classifier, format_of
from facelime_cli.core import compose, shapes
from facelime_cli.models import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import How
    from facelime_cli.store.artifacts import Artifact


def whole_pictures(model: Artifact, how: How, run: Callable[..., Any], engine: Mapping[str, Any]) -> Classifier:
    """Return a classifier that reads whole pictures, composed in NumPy."""
    own = shapes.sides(model.facts["size"])
    what = f"models/{model.id}"
    # A network that was converted from Keras has its scaling inside.
    is_converted = format_of(model) == KERAS
    answer = around.guarded(run, what) if is_converted else around.Around.read(model.facts).probabilities(run, what)

    room = np.empty((0, *(how.resize_from or own), 3), np.float32)

    def forward(pictures: NDArray[Any]) -> NDArray[np.float32]:
        values = np.asarray(pictures, np.float32)
        if how.resize_from:
            values = compose.resized(values, own)
        return answer(values)

    def composed(
        packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: NDArray[np.uint8], segments: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        nonlocal room
        try:
            # The same memory serves every batch of one size.
            if len(room) != len(packed):
                room = np.empty((len(packed), *room.shape[1:]), np.float32)
            flat = room.reshape(len(room), -1, 3)
            compose.compose(packed, index, pictures, segments, flat)
            return forward(room)
        except MemoryError as why:
            raise backend.DeviceMemoryError from why

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return pictures, segments

    return Classifier(forward, composed, upload, {**engine, "numpy": np.__version__, **machine.hardware()})

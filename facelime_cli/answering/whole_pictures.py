"""Classifiers that read whole pictures, composed in NumPy."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.answering import around
from facelime_cli.answering.converting import PIXELS, PLANES
from facelime_cli.answering.runtimes import KERAS, Classifier, format_of
from facelime_cli.core import compose, shapes
from facelime_cli.models import backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import How
    from facelime_cli.store.artifacts import Artifact

COMPOSED = 2
"""Raised when what is composed changes, and with it the last bits of what is answered."""
BATCHES = 3
"""As many composed batches may be in use at once: one that is computed, one that waits, one that is composed."""


class Ready(around.Around):
    """What stands around a classifier whose pictures were brought to its input before they were composed."""

    def _input(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return pictures


def reads(how: How) -> str:
    """Return what a network that is converted for this reads: `PLANES` or `PIXELS`.

    Parameters
    ----------
    how : How

    Returns
    -------
    str
    """
    return PIXELS if how.resize_from else PLANES


def whole_pictures(
    model: Artifact,
    how: How,
    run: Callable[..., Any],
    engine: Mapping[str, Any],
    looking: Callable[[], Callable[..., Any]] | None = None,
) -> Classifier:
    """Return a classifier that reads whole pictures, composed in NumPy.

    Parameters
    ----------
    model : Artifact
    how : How
    run : callable
        From the classifier's own input to its output. A converted Keras network reads what `reads` says.
    engine : mapping
        What decides the bits beside the processor.
    looking : callable, optional
        Loads what answers with features to the same input, where that can be had.

    Returns
    -------
    Classifier
        With `prepare` and `answer`, so that one batch is composed while another is computed.
    """
    what = f"models/{model.id}"
    # A network that was converted from Keras has its scaling inside.
    if format_of(model) == KERAS:
        answer, to_input = around.guarded(run, what), _planes if reads(how) == PLANES else _pixels
    else:
        its = around.Around.read(model.facts)
        answer, to_input = Ready(**vars(its)).probabilities(run, what), its.to_input
    sides = shapes.sides(model.facts["size"])
    composer = _Resizing(how.resize_from, sides, to_input) if how.resize_from else _Choosing(sides, to_input)

    def prepare(*arrays: Any) -> NDArray[Any]:
        try:
            return composer.composed(*arrays)
        except MemoryError as why:
            raise backend.DeviceMemoryError from why

    def forward(pictures: NDArray[Any]) -> NDArray[np.float32]:
        return answer(composer.whole(np.asarray(pictures, np.float32)))

    @cache
    def look() -> around.Answers:
        assert looking is not None
        return around.guarded(looking(), what)

    def features(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return look()(composer.whole(np.asarray(pictures, np.float32)))

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        return pictures, segments

    decides = {**engine, "composed": COMPOSED, "numpy": np.__version__, **machine.hardware()}
    shows = None if looking is None else features
    return Classifier(forward, lambda *arrays: answer(prepare(*arrays)), upload, decides, prepare, answer, shows)


def _planes(pictures: NDArray[np.float32]) -> NDArray[Any]:
    """Return pictures as a converted network reads them: display space has whole numbers."""
    return np.ascontiguousarray(np.moveaxis(pictures.astype(np.uint8), -1, 1))


def _pixels(pictures: NDArray[np.float32]) -> NDArray[Any]:
    return pictures


class _Batches:
    """Memory for batches, used again in turns: clearing fresh memory takes the system half of the time."""

    def __init__(self) -> None:
        self._rooms: list[NDArray[Any]] = []

    def next(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array that none of the `BATCHES - 1` before it shares."""
        if self._rooms and (self._rooms[0].shape, self._rooms[0].dtype) != (shape, dtype):
            self._rooms = []
        room = self._rooms.pop(0) if len(self._rooms) == BATCHES else np.empty(shape, dtype)
        self._rooms.append(room)
        return room


class _Choosing:
    """Composes what the classifier reads, from a fill and an image that were brought to its input."""

    def __init__(self, sides: tuple[int, int], to_input: Callable[[NDArray[np.float32]], NDArray[Any]]) -> None:
        self._size, self._to_input = sides, to_input
        self._batches = _Batches()
        self._last: tuple[Any, int, Any, tuple[int, ...], Any] | None = None

    def whole(self, pictures: NDArray[np.float32]) -> NDArray[Any]:
        """Return whole pictures as the classifier reads them."""
        return self._to_input(pictures)

    def composed(
        self, packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: NDArray[np.uint8], segments: NDArray[Any]
    ) -> NDArray[Any]:
        """Return perturbed pictures as the classifier reads them."""
        borders = [0, *(np.flatnonzero(np.diff(index)) + 1).tolist(), len(index)]
        out = None
        for start, stop in pairwise(borders):
            picture = int(index[start])
            sides, shape, dtype = self._sides(pictures, picture)
            if out is None:
                out = self._batches.next((len(index), *shape), dtype)
            flat = out[start:stop].reshape(stop - start, *sides.shape[1:])
            compose.choose(packed[start:stop], sides, segments[picture], flat)
        assert out is not None
        return out

    def _sides(self, pictures: NDArray[np.uint8], picture: int) -> tuple[NDArray[Any], tuple[int, ...], Any]:
        """Return what is chosen from, the shape of one composed picture, and its dtype."""
        last = self._last
        # The masks of a picture follow each other, over several batches.
        if last is None or last[0] is not pictures or last[1] != picture:
            pair = self._to_input(pictures[picture].reshape(2, *self._size, 3).astype(np.float32))
            # Planes lie one behind the other; colours of a pixel lie beside each other.
            n_pixels = self._size[0] * self._size[1]
            is_planes = pair.shape[2:] == self._size
            flat = pair.reshape(2, -1, n_pixels) if is_planes else pair.reshape(2, 1, -1)
            last = self._last = (pictures, picture, compose.sides_of(flat), pair.shape[1:], pair.dtype)
        return last[2:]


class _Resizing:
    """Composes pictures at their own size, and brings them to the size and the input of the classifier."""

    def __init__(
        self, size: tuple[int, int], own: tuple[int, int], to_input: Callable[[NDArray[np.float32]], NDArray[Any]]
    ) -> None:
        self._size, self._own, self._to_input = size, own, to_input
        self._room = _Batches()

    def whole(self, pictures: NDArray[np.float32]) -> NDArray[Any]:
        """Return whole pictures as the classifier reads them."""
        return self._to_input(compose.resized(pictures, self._own))

    def composed(
        self, packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: NDArray[np.uint8], segments: NDArray[Any]
    ) -> NDArray[Any]:
        """Return perturbed pictures as the classifier reads them."""
        room = self._room.next((len(index), *self._size, 3), np.float32)
        compose.compose(packed, index, pictures, segments, room.reshape(len(index), -1, 3))
        return self.whole(room)

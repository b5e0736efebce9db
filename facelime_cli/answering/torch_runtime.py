"""What PyTorch computes: composition and forward pass in one call, on the processor or on a graphics card."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.answering import torch_features, torch_frozen, torch_networks
from facelime_cli.answering.around import check_range, contained
from facelime_cli.answering.runtimes import TF32, Classifier
from facelime_cli.answering.torch_networks import CUDA
from facelime_cli.core import compose as composing
from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError
from facelime_cli.models import running
from facelime_cli.models.backend import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from facelime_cli.answering.runtimes import How
    from facelime_cli.core.shapes import Sides
    from facelime_cli.store.artifacts import Artifact

BITS = 8
"""In a byte of a packed mask."""
MOST_GRAPHS = 2
"""Kept at a time, each with the weights inside: for perturbed pictures, and for whole ones in other batches."""
COMPOSED = 1
"""Raised when the composed call changes, and with it the last bits of what it answers."""


def with_torch(model: Artifact, how: How) -> Classifier:
    """Return a model that PyTorch runs, with composition and forward pass in one call on the device.

    Parameters
    ----------
    model : Artifact
    how : How

    Returns
    -------
    Classifier

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or the device does not compute in this precision.
    """
    import torch

    compute_with(how.precision)
    what, is_processor = f"models/{model.id}", not torch_networks.on_accelerator()
    net = torch_networks.module_of(model, how)
    run = _Graphs(net) if is_processor else net
    sides = how.resize_from or shapes.sides(model.facts["size"])
    compose = processor_composer(sides) if is_processor else composer(sides)

    def answers(display: Callable[[], Any], n: int) -> NDArray[np.float32]:
        with _on_device(what, n), torch.inference_mode():
            found = run(display()).cpu().numpy()
        if not net.around.values:
            check_range(found, what)
        return np.array(found, np.float32)

    def forward(pictures: NDArray[Any]) -> NDArray[np.float32]:
        return answers(lambda: on_device(np.asarray(pictures, np.float32)), len(pictures))

    def composed(packed: NDArray[np.uint8], index: NDArray[np.int32], *pictures: Any) -> NDArray[np.float32]:
        return answers(lambda: compose(packed, index, *pictures), len(packed))

    def upload(pictures: NDArray[np.uint8], segments: NDArray[np.int32]) -> tuple[Any, Any]:
        if is_processor:
            return pictures, segments
        with _on_device(what, len(pictures)):
            # What PyTorch looks up by has 64 bits.
            return on_device(pictures), on_device(segments).long()

    return Classifier(forward, composed, upload, engine(), features=torch_features.features_of(net))


class _Graphs:
    """A network that runs as a graph, made for the shape of each batch; where that cannot be, it runs as it is."""

    def __init__(self, net: Any) -> None:
        self._net = net
        self._of_shape: dict[tuple[int, ...], Callable[[Any], Any]] = {}

    def __call__(self, display: Any) -> Any:
        x = torch_networks.model_input(self._net, display)
        batch = self._net.reading.batch or len(x)
        shape = (batch, *x.shape[1:])
        if shape not in self._of_shape:
            if len(self._of_shape) == MOST_GRAPHS:
                self._of_shape.clear()
            self._of_shape[shape] = torch_frozen.frozen(self._net, self._drawn(display, batch)) or self._net.own
        return self._net.probabilities_of(self._net.scores_of(self._of_shape[shape], x))

    def _drawn(self, display: Any, batch: int) -> Any:
        """Return the trial pictures as the module reads them: shards and repeated runs must decide alike."""
        import torch

        drawn = torch.from_numpy(running.trial_pictures(tuple(display.shape[1:3])))
        return torch_networks.model_input(self._net, drawn[torch.arange(batch) % len(drawn)])


def processor_composer(sides: Sides) -> Callable[..., Any]:
    """Return the function that composes perturbed pictures on the processor, which NumPy does faster than PyTorch.

    Parameters
    ----------
    sides : (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        It reads what `core.compose.compose` does, and returns a (B, H, W, 3) float32 tensor. The next call uses its
        memory again.
    """
    import torch

    room = np.empty((0, *sides, 3), np.float32)

    def compose(packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: Any, segments: Any) -> Any:
        nonlocal room
        if len(room) != len(packed):
            room = np.empty((len(packed), *sides, 3), np.float32)
        composing.compose(packed, index, pictures, segments, room.reshape(len(room), -1, 3))
        return torch.from_numpy(room)

    return compose


def composer(sides: Sides) -> Callable[..., Any]:
    """Return the function that composes perturbed pictures on the device.

    Parameters
    ----------
    sides : (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        It reads packed masks (B, M) uint8 and the picture of each row (B,) int32; and from the device fills and images
        (U, 2, H·W, 3) uint8 and segments (U, H·W) int64. It returns a (B, H, W, 3) float32 tensor.

    Notes
    -----
    x = fill + (image - fill) · mask[segments], exactly, since each pixel is chosen and none computed.
    """
    import torch

    def compose(packed: NDArray[np.uint8], index: NDArray[np.int32], pictures: Any, segments: Any) -> Any:
        bits, which = on_device(packed), on_device(index)
        # Unpack the bits of every mask, the lowest first.
        places = torch.arange(BITS, dtype=torch.uint8, device=bits.device)
        masks = (bits[:, :, None] >> places & 1).reshape(len(bits), -1)
        # Look up, for every pixel, whether its segment is kept.
        kept = masks.gather(1, segments[which])[..., None].bool()
        chosen = torch.where(kept, pictures[which, 1], pictures[which, 0])
        return chosen.reshape(-1, *sides, 3).float()

    return compose


def on_device(array: NDArray[Any]) -> Any:
    """Put an array on the device; the processor does not wait for a graphics card to read it.

    Parameters
    ----------
    array : array

    Returns
    -------
    tensor
    """
    import torch

    # PyTorch warns of arrays that cannot be written.
    values = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    where = torch_networks.device()
    if where.type != CUDA:
        return values.to(where)
    return values.pin_memory().to(where, non_blocking=True)


def compute_with(precision: str) -> None:
    """Let an NVIDIA card multiply float32 with TF32, or keep float32 what it says.

    Parameters
    ----------
    precision : str
        One of `runtimes.PRECISIONS`.

    Raises
    ------
    FacelimeError
        For tf32 where there is no such card.
    """
    import torch

    if precision == TF32 and torch_networks.device().type != CUDA:
        raise FacelimeError(
            "--precision tf32 is a mode of NVIDIA cards, and PyTorch sees none; "
            "use float32, or bfloat16 where the processor has instructions for it."
        )
    torch.set_float32_matmul_precision("high" if precision == TF32 else "highest")
    torch.backends.cudnn.allow_tf32 = precision == TF32
    # The same algorithm each time, and with it the same bits.
    torch.backends.cudnn.deterministic = True


def engine() -> dict[str, Any]:
    """Return what decides the bits of an answer beside the network and the batch.

    Returns
    -------
    dict
        The version, the device, the threads and the processor.
    """
    import torch

    where = torch_networks.device()
    found = {
        "runtime": "torch",
        "composed": COMPOSED,
        "version": torch.__version__,
        "device": where.type,
        "threads": torch.get_num_threads(),
        **machine.hardware(),
    }
    if where.type == CUDA:
        found |= {"card": torch.cuda.get_device_name(where), "cudnn": torch.backends.cudnn.version()}
    return found


@contextmanager
def _on_device(what: str, n: int) -> Iterator[None]:
    """Let a network run: its errors are sentences, and a card's memory is given back when a batch does not fit."""
    import torch

    try:
        with contained(what, (n,)):
            yield
    except DeviceMemoryError:
        if torch_networks.device().type == CUDA:
            torch.cuda.empty_cache()
        raise

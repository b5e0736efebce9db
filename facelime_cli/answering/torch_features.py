"""The features of a PyTorch network: what the last matrix product reads that makes its scores."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import torch_networks
from facelime_cli.answering.around import contained
from facelime_cli.core.familiarity import MOST_FEATURES
from facelime_cli.errors import FacelimeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MATRIX_AXES, MAP_AXES = 2, 4
"""Of what a matrix product and a convolution read."""


def features_of(net: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return what answers with features.

    Parameters
    ----------
    net : Network
        From `torch_networks.module_of`.

    Returns
    -------
    callable
        From (B, H, W, 3) float32 display space to (B, F) float32. It raises FacelimeError where no product is seen.
    """
    import torch

    def features(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        with contained(net.what, pictures.shape), torch.inference_mode():
            display = torch.from_numpy(np.require(pictures, np.float32, ["C", "W"])).to(torch_networks.device())
            read = torch_networks.model_input(net, display)
            found = [_seen(net, each) for each in torch_networks.calls_of(read, net.reading.batch)]
            return np.array(torch.cat(found)[: len(pictures)].float().cpu().numpy(), np.float32)

    return features


def _seen(net: Any, x: Any) -> Any:
    """Return what the last product that makes scores read in a call, (B, F); in the precision of the weights."""
    watching = _watching_class()(len(x))
    with watching:
        net.own(x)
    if watching.read is None:
        raise FacelimeError(
            f"{net.what} cannot say which pictures it knows: PyTorch shows no matrix product of 2 to {MOST_FEATURES} "
            "numbers for each picture."
        )
    return watching.read


@cache
def _watching_class() -> Any:
    """Return the class of what watches every operation of PyTorch, whatever module or graph asks for it."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watching(TorchDispatchMode):  # type: ignore[misc]
        """Keeps what the last fitting product read."""

        def __init__(self, batch: int) -> None:
            super().__init__()
            self.batch, self.read = batch, None

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            place = READS.get(str(func.overloadpacket).rpartition(".")[2])
            if place is not None and self._makes_scores(args[place], found):
                # Its own: what comes behind may write into it.
                self.read = args[place].detach().reshape(self.batch, -1).clone()
            return found

        def _makes_scores(self, read: Any, found: Any) -> bool:
            is_whole = read.ndim == MATRIX_AXES or (read.ndim == MAP_AXES and tuple(read.shape[2:]) == (1, 1))
            return (
                is_whole
                and len(read) == self.batch
                and found.ndim == read.ndim
                and 1 < read.shape[1] <= MOST_FEATURES
                # One that calibrates reads scores.
                and read.shape[1] != found.shape[1]
            )

    return Watching


READS = {"addmm": 1, "mm": 0, "linear": 0, "convolution": 0, "mkldnn_linear": 0}
"""Operations that multiply with weights, and which of their arguments is read."""

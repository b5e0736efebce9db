"""PyTorch networks as graphs with their weights inside: a processor computes them faster."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import torch_networks
from facelime_cli.answering.around import is_for_memory

if TYPE_CHECKING:
    from collections.abc import Callable

SAME = 1e-4
"""How far a graph's answers may be from the module's, relative to the largest one; the rest is rounding."""
WARM_UP = 3
"""PyTorch may change a graph after its first calls, and with it the last bits."""


def frozen(net: Any, x: Any) -> Callable[[Any], Any] | None:
    """Return a module's graph, with batch normalisation folded into the layers before it.

    On a processor it is a third to a half faster than the module. It is for one shape of input.

    Parameters
    ----------
    net : Network
        From `torch_networks.module_of`.
    x : tensor
        What its module reads, in the shape of all calls.

    Returns
    -------
    callable or None
        From such an input to the answers that `scores` takes, under the name that they have. None where the module
        decides by values of its input, or answers otherwise as a graph.
    """
    import torch

    with net.rounding():
        answers = net.own(x)
    name = torch_networks.name_of_scores(net, answers)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # A branch that a value decides would be taken for all pictures as for these.
        warnings.simplefilter("error", torch.jit.TracerWarning)
        try:
            graph = _graph(net, name, x)
            found = [graph(x) for _ in range(WARM_UP)][-1].float()
        except Exception as why:  # whatever cannot be traced runs as it is
            if is_for_memory(why):
                raise
            return None
    wanted = torch_networks.named_answers(answers)[name].float()
    is_same = torch.allclose(found, wanted, rtol=0, atol=SAME * max(1.0, float(wanted.abs().max())))
    return (lambda values: {name: graph(values)}) if is_same else None


def _graph(net: Any, name: str, x: Any) -> Any:
    """Return the graph of one output of a module."""
    import torch

    class Output(torch.nn.Module):  # type: ignore[misc]
        """The module with one output alone."""

        def __init__(self) -> None:
            super().__init__()
            self.training = False
            self.own = net.own

        def forward(self, values: Any) -> Any:
            """Return that output."""
            return torch_networks.named_answers(self.own(values))[name]

    # Weights that are rounded for each call belong into the graph, where they are rounded once.
    with net.rounding(cache_enabled=False):
        return torch.jit.freeze(torch.jit.trace(Output(), x, check_trace=False))

"""Modules of a PyTorch network that are watched while it answers: hooks, and which of them show places."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.layers import TOKENS, Layer, Places, places_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides

PASSED_OVER = ("Pool", "Dropout", "DropPath", "Pad", "Reshape", "Flatten", "Identity", "Permute", "Softmax")
"""How modules without parts are named whose answer is no new map.

A normalisation counts here, other than in Keras: the activation behind it is often a function that no hook sees.
"""
NORMALIZATION = "Norm"


@dataclass
class Seen:
    """What one module was seen to answer in a call of the network.

    Attributes
    ----------
    name, kind : str
    is_leaf : bool
        Whether it has no modules within.
    shape : tuple of int
        Of its last answer, without the batch.
    places : Places or None
    handed_on : Seen or None
        The module that ended just before, where this one answers with the same tensor.
    calls : int
    is_convolved : bool
        Whether a convolution came before.
    """

    name: str
    kind: str
    is_leaf: bool
    shape: tuple[int, ...] = ()
    places: Places | None = None
    handed_on: Seen | None = None
    calls: int = 0
    is_convolved: bool = False

    @property
    def is_tokens(self) -> bool:
        """Whether its places are tokens."""
        return self.places is not None and self.places.form == TOKENS

    @property
    def is_passed_over(self) -> bool:
        """Whether it makes no new map: by its kind, or since it hands on what such a module answers."""
        if self.is_leaf:
            return any(word in self.kind for word in PASSED_OVER)
        return self.handed_on is not None and self.handed_on.is_passed_over

    @property
    def is_named_within(self) -> bool:
        """Whether a module within stands for its answer. One that is called several times stands for none."""
        return not self.is_leaf and self.handed_on is not None and self.handed_on.calls == 1


class Watched:
    """What modules answer in one call, in the order in which they end."""

    def __init__(self, size: Sides, kinds: Mapping[str, str]) -> None:
        self._size, self._kinds = size, kinds
        self._ended: dict[str, Seen] = {}
        self._last: tuple[Seen, Any] | None = None
        self._grid: Sides | None = None
        self._tokens: set[int] = set()
        self._is_convolved = False

    def hooks(self, own: Any) -> dict[Any, Any]:
        """Return a hook for every module within."""
        return {module: self._hook(name, module) for name, module in own.named_modules() if name}

    def found(self) -> list[Seen]:
        """Return what was seen."""
        return list(self._ended.values())

    def _hook(self, name: str, module: Any) -> Any:
        kind = self._kinds.get(name, type(module).__name__)
        is_leaf = not list(module.children())

        def hook(_module: Any, _inputs: Any, answer: Any) -> None:
            tensor = _tensor_in(answer)
            if tensor is None:
                return
            # One that is called again ends again.
            seen = self._ended.pop(name, Seen(name, kind, is_leaf))
            self._ended[name] = seen
            self._is_convolved |= is_leaf and "Conv" in kind
            self._keep(seen, tensor)

        return hook

    def _keep(self, seen: Seen, tensor: Any) -> None:
        seen.calls += 1
        seen.is_convolved = self._is_convolved
        seen.handed_on = self._last[0] if self._last is not None and self._last[1] is tensor else None
        self._last = seen, tensor
        seen.shape = tuple(tensor.shape[1:])
        seen.places = self._places(tuple(tensor.shape))

    def _places(self, shape: tuple[int, ...]) -> Places | None:
        is_attention = len(shape) > 1 and shape[-1] == shape[-2] and shape[-1] in self._tokens
        if is_attention:
            return None
        found = places_of(shape[1:], self._size, self._grid)
        if found is not None and found.form == TOKENS:
            self._tokens.add(shape[1])
        elif found is not None:
            self._grid = found.height, found.width
        return found


def last_of(every: Sequence[Seen]) -> tuple[Seen | None, list[Seen]]:
    """Return the last module with maps of a convolution, and the normalisations of tokens behind it.

    Parameters
    ----------
    every : sequence of Seen
        In the order in which they ended.

    Returns
    -------
    found : Seen or None
    tokens : list of Seen
    """
    found: Seen | None = None
    tokens: list[Seen] = []
    for each in every:
        if each.places is None or each.calls > 1 or each.is_passed_over or each.is_named_within:
            continue
        if each.is_tokens:
            tokens += [each] if NORMALIZATION in each.kind else []
        elif each.is_convolved:
            found, tokens = each, []
    return found, tokens


def as_layer(seen: Seen) -> Layer:
    """Return a module as a layer.

    Parameters
    ----------
    seen : Seen

    Returns
    -------
    Layer
    """
    if seen.places is None:
        return Layer(seen.name, seen.kind, seen.shape, has_maps=False)
    dropped = seen.places.dropped if seen.is_tokens else None
    return Layer(seen.name, seen.kind, seen.places.shape, has_maps=True, dropped=dropped)


# Hooks


def _tensor_in(answer: Any) -> Any:
    """Return the tensor that a module answers, or the first of several; None where there is none."""
    import torch

    first = answer[0] if isinstance(answer, (tuple, list)) and answer else answer
    is_numbers = isinstance(first, torch.Tensor) and first.is_floating_point() and first.ndim > 0
    return first if is_numbers else None


@contextmanager
def hooked(hooks: Mapping[Any, Any]) -> Iterator[None]:
    """Let modules be watched, and leave them as they were.

    Parameters
    ----------
    hooks : mapping
        From each module to its hook, as `register_forward_hook` takes it.
    """
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def kept_of(module: Any, *, apart: bool = False) -> Iterator[dict[str, Any]]:
    """Keep a module's last answer as `answer`.

    Parameters
    ----------
    module : torch.nn.Module
    apart : bool
        Whether gradients begin at it.

    Yields
    ------
    dict
    """
    kept: dict[str, Any] = {}

    def hook(_module: Any, _inputs: Any, answer: Any) -> Any:
        tensor = _tensor_in(answer)
        if tensor is None:
            return answer
        kept["answer"] = tensor.detach().clone().requires_grad_(apart)
        # What comes behind may write into its input, as activations with `inplace` do: it gets its own.
        copy = kept["answer"].clone()
        return type(answer)([copy, *answer[1:]]) if isinstance(answer, (tuple, list)) else copy

    handle = module.register_forward_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


def as_maps(tensor: Any, places: Places | None) -> NDArray[np.float32]:
    """Return a tensor as maps where it holds them, and as it is elsewhere.

    Parameters
    ----------
    tensor : tensor
    places : Places or None

    Returns
    -------
    (B, h, w, n) float32 array, or one of the tensor's own shape
    """
    values = np.asarray(tensor.detach().float().cpu().numpy(), np.float32)
    return values if places is None else places.arranged(values)

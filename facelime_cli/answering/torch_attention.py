"""Attention of a PyTorch transformer: the weights by which each token takes from the others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Reader = Callable[[list[Any], Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]

HEADS_AXES = 4
"""Of weights with heads: pictures, heads, tokens, tokens."""
FEWEST_AXES = 3
"""Of weights at all. What has fewer, such as the classes' softmax, is no attention."""
OF_PRODUCT = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
"""Arguments of `scaled_dot_product_attention` that may come without a name."""


@contextmanager
def watched() -> Iterator[list[Any]]:
    """Keep the weights of every attention that is computed meanwhile, one after the other.

    They are seen in calls of `softmax`, of `scaled_dot_product_attention`, which never writes them down and whose
    weights are computed once more, and of `MultiheadAttention`.

    Yields
    ------
    list
        Of tensors (…, T, S); None for attention that is not of this kind.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Watching(TorchFunctionMode):  # type: ignore[misc]
        """Hands calls on, and keeps the weights of some."""

        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: Any,
            args: Sequence[Any] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> Any:
            # Steps of an exported program end in their kind, as `softmax.int`.
            reader = READERS.get(getattr(func, "__name__", "").partition(".")[0])
            return reader(found, func, args, kwargs or {}) if reader else func(*args, **kwargs or {})

    found: list[Any] = []
    is_fast = torch.backends.mha.get_fastpath_enabled()
    # The fast path computes a whole encoder in one step, and no weights come out of it.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with Watching():
            yield found
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def joined(found: Sequence[Any], batch: int) -> Any:
    """Return the weights of all layers as one tensor, the mean of their heads.

    Parameters
    ----------
    found : sequence of tensor
        From `watched`.
    batch : int
        Pictures of the call.

    Returns
    -------
    (B, layers, T, T) tensor, or None
        None where there are none, or where they are not all of the same tokens: within windows, of fewer and fewer
        tokens, or of other tokens than their own.
    """
    import torch

    means = [each.float().mean(1) if each is not None and each.ndim == HEADS_AXES else each for each in found]
    if not means or any(each is None for each in means):
        return None
    n_tokens = means[0].shape[-1]
    if any(tuple(each.shape) != (batch, n_tokens, n_tokens) for each in means):
        return None
    return torch.stack([each.float() for each in means], 1)


def _of_softmax(found: list[Any], func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    answer = func(*args, **kwargs)
    axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if answer.ndim >= FEWEST_AXES and axis in {-1, answer.ndim - 1}:
        found.append(answer)
    return answer


def _of_product(found: list[Any], func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    given = {**dict(zip(OF_PRODUCT, args, strict=False)), **kwargs}
    found.append(None if given.get("is_causal") or given.get("enable_gqa") else _weights(given))
    return func(*args, **kwargs)


def _weights(given: Mapping[str, Any]) -> Any:
    """Return the weights of a scaled dot product: softmax(q·kᵀ · scale + mask)."""
    query, key, mask, scale = given["query"], given["key"], given.get("attn_mask"), given.get("scale")
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores + mask if mask.dtype.is_floating_point else scores.masked_fill(~mask, -float("inf"))
    return scores.softmax(-1)


def _of_heads(found: list[Any], func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    answer, weights = func(*args, **{**kwargs, "need_weights": True, "average_attn_weights": False})
    found.append(weights)
    if not kwargs.get("need_weights", True):
        return answer, None
    return answer, weights.mean(1) if kwargs.get("average_attn_weights", True) else weights


READERS: dict[str, Reader] = {
    "softmax": _of_softmax,
    "_softmax": _of_softmax,
    "scaled_dot_product_attention": _of_product,
    "multi_head_attention_forward": _of_heads,
}
"""What computes attention, by the name of the call."""

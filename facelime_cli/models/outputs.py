"""Networks with several outputs: which of them is explained, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError
from facelime_cli.models.backend import keras
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 20
"""Outputs that an error names."""


def place_of(wanted: str | None, names: Sequence[str], what: str) -> int:
    """Return the place of an output among those of a network.

    Parameters
    ----------
    wanted : str or None
        Its name; None for the only one.
    names : sequence of str
        Of all its outputs, in their order.
    what : str
        The network's name in errors.

    Returns
    -------
    int

    Raises
    ------
    FacelimeError
        Where there is none of this name, or one must be chosen.

    Examples
    --------
    >>> place_of("logits", ["features", "logits"], "net.onnx")
    1
    """
    if wanted is None and len(names) == 1:
        return 0
    if wanted is not None and wanted in names:
        return list(names).index(wanted)
    listed = ", ".join(shown(str(name)) for name in names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    if wanted is None:
        raise FacelimeError(
            f"{what} has {len(names)} outputs ({listed}); choose the one to explain with --output NAME."
        )
    raise FacelimeError(f"{what} has no output {shown(wanted)!r}; give --output one of {listed}.")


def with_one(network: Any, wanted: str | None, what: str) -> Any:
    """Return a Keras network with one of its outputs alone.

    Parameters
    ----------
    network : keras.Model
        Any that was loaded.
    wanted : str or None
        The output's name: its key where the network answers with a dictionary, else that of the layer that makes it.
    what : str
        The network's name in errors.

    Returns
    -------
    keras.Model
        The network itself where it has only one.

    Raises
    ------
    FacelimeError
        Where there is none of this name, one must be chosen, or the network was never built.
    """
    try:
        outputs, inputs = network.outputs, network.inputs
    except (AttributeError, ValueError):  # what Keras raises for a network that nobody has called
        outputs = inputs = None
    if not inputs or not outputs:
        raise FacelimeError(
            f"{what} holds a {type(network).__name__} network that does not say what it reads, as one that was never "
            "called; begin it with keras.Input and save it again, or export it as a SavedModel with model.export."
        )
    # A sequence has one output, and no structure of outputs that Keras would give.
    structure = outputs if isinstance(network, keras().Sequential) else network.output
    if isinstance(structure, dict):
        named = dict(structure)
    else:
        # A sequence has no names of outputs.
        names = getattr(network, "output_names", None) or [network.layers[-1].name]
        named = dict(zip(names, network.outputs, strict=True))
    if len(named) != len(network.outputs):
        named = {str(place): each for place, each in enumerate(network.outputs)}
    chosen = place_of(wanted, list(named), what)
    if len(named) == 1:
        return network
    return keras().Model(inputs, list(named.values())[chosen])


def joined(network: Any, names: Sequence[str]) -> Any:
    """Return a Keras network with all its outputs, one behind the other.

    Parameters
    ----------
    network : keras.Model
        It answers with a dictionary.
    names : sequence of str
        Of its outputs, in the order in which they are wanted.

    Returns
    -------
    keras.Model
    """
    together = keras().layers.Concatenate(dtype="float32")([network.output[name] for name in names])
    return keras().Model(network.inputs, together)

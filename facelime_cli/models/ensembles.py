"""Several networks that answer as one: the mean of their answers, and beside it what each of them says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.models.backend import keras
from facelime_cli.models.wrapping import MEAN_LAYER, SPEAKING_LAYER

if TYPE_CHECKING:
    from collections.abc import Sequence


def averaging(members: Sequence[Any]) -> Any:
    """Return the network that answers with the mean of several networks' answers.

    Only layers of Keras are used, so that any Keras can load it and other runtimes can convert it.

    Parameters
    ----------
    members : sequence of keras.Model
        Two or more. They read the same pictures and answer with the same classes.

    Returns
    -------
    keras.Model
        Each member is a network in it, `member_0` and so on.

    Raises
    ------
    FacelimeError
        For networks with several outputs.
    """
    n_outputs = max(len(each.outputs) for each in members)
    if n_outputs > 1:
        raise FacelimeError(
            f"the networks have {n_outputs} outputs each, and --ensemble is the mean of one; leave --ensemble out."
        )
    k = keras()
    inputs = k.Input(tuple(members[0].inputs[0].shape)[1:], name="display")
    # Layers of the members have the same names: each member is a network of its own, with another name.
    named = [k.Model(each.inputs[0], each.outputs[0], name=f"member_{place}") for place, each in enumerate(members)]
    answers = [each(inputs) for each in named]
    return k.Model(inputs, k.layers.Average(name=MEAN_LAYER, dtype="float32")(answers))


def members_of(network: Any, n_members: int, what: str) -> list[Any]:
    """Return the members of a network from `averaging`.

    Parameters
    ----------
    network : keras.Model
    n_members : int
        How many there should be.
    what : str
        Its name in errors.

    Returns
    -------
    list of keras.Model

    Raises
    ------
    BrokenError
        Where it has other members.
    """
    found = [each for each in network.layers if hasattr(each, "layers")]
    if network.layers[-1].name != MEAN_LAYER or len(found) != n_members:
        raise BrokenError(f"{what} does not hold the mean of {n_members} networks; make it again with `finetune`.")
    return found


def speaking(network: Any, n_members: int, what: str) -> Any:
    """Return a network that answers as before, and behind that with what each of its members says.

    Parameters
    ----------
    network : keras.Model
        From `averaging`.
    n_members : int
        M.
    what : str
        Its name in errors.

    Returns
    -------
    keras.Model
        It answers with (B, (1 + M) · C): the mean first, then the members in their order.

    Raises
    ------
    BrokenError
        Where it has other members.
    """
    members_of(network, n_members, what)
    k = keras()
    answers = [network.outputs[0], *network.layers[-1].input]
    return k.Model(network.inputs[0], k.layers.Concatenate(name=SPEAKING_LAYER, dtype="float32")(answers))

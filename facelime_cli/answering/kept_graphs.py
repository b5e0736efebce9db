"""Keras networks as graphs of TensorFlow, made once and kept beside the model: the next command builds no network."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.answering.converting import CONVERTED
from facelime_cli.answering.runtimes import FORMATS, KERAS, format_of, n_members
from facelime_cli.core import shapes
from facelime_cli.core.opening import opened
from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, graphs
from facelime_cli.store import digests, familiarity

if TYPE_CHECKING:
    from pathlib import Path

    from facelime_cli.answering.runtimes import How
    from facelime_cli.models.graphs import Graph
    from facelime_cli.store.artifacts import Artifact

VERSION = 2
"""Raised when graphs are made otherwise."""
FILE = "graph.pb"
MOST_BYTES = 1 << 29
"""A graph of `graphs.MOST_WEIGHTS` has a quarter of them."""


def kept(model: Artifact, how: How) -> Graph | None:
    """Return the graph of a model that an earlier command has kept.

    It is a program, and could answer with other weights. So it is used where this user's own facelime has made it from
    the file that the model has now: in a store from elsewhere, anything could stand there.

    Parameters
    ----------
    model : Artifact
    how : How

    Returns
    -------
    Graph or None
    """
    folder = _folder(model, how)
    if folder is None or backend.on_accelerator():
        return None
    try:
        with opened(folder / FILE) as stream:
            content = stream.read(MOST_BYTES + 1)
        source = digests.of_file(model.file(FORMATS[KERAS].file))
        own = len(content) <= MOST_BYTES and trust.is_trusted(CONVERTED, _digest(model, how, source, content))
    except (FacelimeError, OSError):
        return None
    return graphs.read(content, how.resize_from or shapes.sides(model.facts["size"])) if own else None


def keep(model: Artifact, how: How, source: str, graph: Graph) -> None:
    """Keep a model's graph beside it, where that is possible.

    Parameters
    ----------
    model : Artifact
    how : How
    source : str
        The digest of the file that it was made from.
    graph : Graph
    """
    # A plan leaves nothing behind.
    if model.store.aside is not None:
        return
    content = graph.written()
    own = _digest(model, how, source, content)

    def write(folder: Path) -> None:
        (folder / FILE).write_bytes(content)
        trust.add(CONVERTED, own, model.reference)

    def is_own(folder: Path) -> bool:
        return _digest(model, how, source, (folder / FILE).read_bytes()) == own

    # A store that cannot be written, or is full, works without.
    with suppress(FacelimeError, OSError):
        model.kept(_key(model, how), write, is_own)


def begun(model: Artifact, how: How) -> bool:
    """Tell whether there is such a graph beside a model; it is not looked at.

    Parameters
    ----------
    model : Artifact
    how : How

    Returns
    -------
    bool
    """
    return _folder(model, how) is not None


def has_features(model: Artifact) -> bool:
    """Tell whether the graph of a model answers with features too: a summary of training pictures asks for them.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    bool
    """
    return familiarity.has_summary(model)


def _folder(model: Artifact, how: How) -> Path | None:
    """Return where a graph lies, if there is one and the model may have one."""
    if format_of(model) != KERAS or backend.name() != backend.TENSORFLOW:
        return None
    folder = model.kept_folder(_key(model, how))
    return folder if (folder / FILE).is_file() else None


def _key(model: Artifact, how: How) -> dict[str, Any]:
    """Return what decides a graph."""
    return {
        "for": "graph",
        "version": VERSION,
        "content": model.content,
        "precision": how.precision,
        "size": how.resize_from or model.facts["size"],
        # The graph of an ensemble answers for its members too.
        "members": n_members(model),
        "features": has_features(model),
        "keras": version("keras"),
        "tensorflow": version("tensorflow"),
        "settings": {name: value for name, value in backend.settings().items() if name != "backend"},
    }


def _digest(model: Artifact, how: How, source: str, content: bytes) -> str:
    """Return the digest of a graph, of the file that it was made from, and of how it was made."""
    return digests.of_value({"key": _key(model, how), "source": source, "graph": digests.of_bytes(content)})

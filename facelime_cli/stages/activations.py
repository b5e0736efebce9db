"""Show what a network's layers answer to a picture: their feature maps, tiled, one PNG file a layer.

Without --layers it lists every layer with the shape of its answer. Each map is drawn from its own least value (black) to its own largest (white). One layer at a time is in memory.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.models import runtimes
from facelime_cli.options import Input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALL = "all"
MOST_MAPS = 256
"""Maps of a layer that are drawn; 256 of 299 by 299 pixels are a picture of 23 megapixels."""
PLACES = 3
"""Axes of an answer that has maps: height, width, maps."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `activations`."""

    model: Annotated[
        str,
        Argument(metavar="MODEL", help="Model, from `finetune` or `import-model`.", show_default=False),
        Input(("models",)),
    ]
    image: Annotated[
        Path,
        Argument(metavar="IMAGE", help="Picture file; it is stretched to the model's input size.", show_default=False),
    ]
    layers: Annotated[
        str | None,
        Option(
            metavar="NAME,…|all",
            show_default=False,
            help="Layers to draw, by name or the last part of it; all: every layer with maps. [default: none, only list them]",
        ),
    ] = None
    to: Annotated[Path, Option(metavar="DIR", help="Folder for the pictures, which must be new or empty.")] = Path(
        "activations"
    )


def run(params: Params, context: Context) -> Answer:
    """List the layers, or draw their maps."""
    from facelime_cli.models import gradients

    model = context.store.resolve(params.model, ("models",))
    model.require_complete()
    if params.layers is not None and params.to.exists() and (not params.to.is_dir() or any(params.to.iterdir())):
        raise FacelimeError(f"{params.to} is there already; name a folder that is new or empty with --to.")
    picture = _picture(params.image, int(model.facts["size"]))
    net = runtimes.layered(model)
    every = [(name, type(layer).__name__, gradients.shape_of(layer)) for name, layer in gradients.layers_of(net)]
    table = Table(
        ("layer", "kind", "shape"),
        [(name, kind, "×".join(map(str, shape))) for name, kind, shape in every],
        f"{len(every)} layers",
    )
    listed = [{"layer": name, "kind": kind, "shape": list(shape)} for name, kind, shape in every]
    if params.layers is None:
        return Answer({"model": model.id, "layers": listed}, tables=[table])
    chosen = (
        [name for name, _, shape in every if len(shape) == PLACES]
        if params.layers == ALL
        else [_whole(word.strip(), every) for word in params.layers.split(",")]
    )
    drawn = _draw(net, picture, chosen, params.to, context)
    return Answer(
        {"model": model.id, "layers": listed, "drawn": drawn}, [each["file"] for each in drawn], notes=[table]
    )


def _picture(file: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture as `preprocess` makes it."""
    from facelime_cli.core.images import UnreadableError, decode
    from facelime_cli.core.operations import Operations, prepare

    if not file.is_file():
        raise NotFoundError(f"there is no picture {file}; check the path.")
    try:
        return prepare(decode(file), Operations(size)).image
    except UnreadableError as why:
        raise FacelimeError(f"{file} {why}; give another picture.") from why


def _whole(word: str, every: list[tuple[str, str, Any]]) -> str:
    """Return the whole name of a layer that has maps."""
    found = [each for each in every if each[0] == word] or [
        each for each in every if each[0].rpartition("/")[2] == word
    ]
    if len(found) != 1:
        raise NotFoundError(
            f"there {'are several layers' if found else 'is no layer'} {word!r}; without --layers, `facelime activations` lists all."
        )
    if len(found[0][2]) != PLACES:
        raise FacelimeError(
            f"--layers {word} answers {found[0][2]}, not maps of places; choose a layer with three sizes."
        )
    return found[0][0]


def _draw(net: Any, picture: NDArray[np.uint8], chosen: list[str], to: Path, context: Context) -> list[dict[str, Any]]:
    """Write one picture a layer, into a folder that is there only when all are."""
    import numpy as np
    from PIL import Image

    from facelime_cli.drawing.sheets import tiled
    from facelime_cli.models import gradients

    if not to.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {to.absolute().parent}; make it, or choose another --to.")
    drawn = []
    with (
        tempfile.TemporaryDirectory(prefix=".facelime-", dir=to.absolute().parent) as folder,
        context.console.progress("activations", len(chosen), unit="layers") as advance,
    ):
        for place, (name, values) in enumerate(gradients.activations(net, picture[None], chosen)):
            maps = values[0, ..., :MOST_MAPS]
            file = f"{place:03d}-{name.replace('/', '-')}.png"
            Image.fromarray(tiled(maps, int(np.ceil(np.sqrt(maps.shape[-1]))))).save(Path(folder) / file)
            drawn.append(
                {"layer": name, "shape": list(values.shape[1:]), "maps": maps.shape[-1], "file": str(to / file)}
            )
            advance(1)
        to.mkdir(exist_ok=True)
        for each in Path(folder).iterdir():
            each.rename(to / each.name)
    return drawn


COMMAND = Command("activations", Params, run, __doc__ or "")

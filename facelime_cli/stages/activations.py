"""Show what a network's layers answer to a picture: their feature maps, tiled, one PNG file a layer.

Without --layers it lists every layer with the shape of its answer. Each map is drawn from its own least value (black)
to its own largest (white). One layer at a time is in memory.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.layers import layered
from facelime_cli.console import Answer, Table
from facelime_cli.core.layers import named
from facelime_cli.engine import Command, Context
from facelime_cli.errors import FacelimeError
from facelime_cli.options import Input
from facelime_cli.store import temporary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.answering.layers import Layered
    from facelime_cli.core.layers import Layer

ALL = "all"
MOST_MAPS = 256
"""Maps of a layer that are drawn; 256 of 299 by 299 pixels are a picture of 23 megapixels."""


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
            help="Draw these layers, by name or the end of its path; all: every layer with maps. "
            "[default: none, only list them]",
        ),
    ] = None
    to: Annotated[Path, Option(metavar="DIR", help="Folder for the pictures, which must be new or empty.")] = Path(
        "activations"
    )


def run(params: Params, context: Context) -> Answer:
    """List the layers, or draw their maps."""
    from facelime_cli.core.operations import picture_of

    model = context.store.resolve(params.model, ("models",))
    model.require_complete()
    if params.layers is not None:
        _check_folder(params.to)
    picture = picture_of(params.image, model.facts["size"])
    net = layered(model)
    every = net.layers()
    rows = [(each.name, each.kind, _shape(each)) for each in every]
    table = Table(("layer", "kind", "shape"), rows, f"{len(every)} layers")
    listed = [_as_json(each) for each in every]
    if params.layers is None:
        return Answer({"model": model.id, "layers": listed}, tables=[table])
    chosen = _chosen(params.layers, every)
    drawn = _draw(net, picture, chosen, params.to, context)
    value = {"model": model.id, "layers": listed, "drawn": drawn}
    return Answer(value, [each["file"] for each in drawn], notes=[table])


def _shape(layer: Layer) -> str:
    """Return the shape of an answer as a person reads it."""
    sizes = "×".join(map(str, layer.shape))
    return (
        sizes if layer.dropped is None else f"{sizes}, {layer.dropped} token{'' if layer.dropped == 1 else 's'} dropped"
    )


def _as_json(layer: Layer) -> dict[str, Any]:
    told: dict[str, Any] = {"layer": layer.name, "kind": layer.kind, "shape": list(layer.shape)}
    return told if layer.dropped is None else {**told, "tokens_dropped": layer.dropped}


def _check_folder(to: Path) -> None:
    """Raise where a folder holds something already, or cannot be made."""
    is_free = not to.exists() or (to.is_dir() and not any(to.iterdir()))
    if not is_free:
        raise FacelimeError(f"{to} is there already; name a folder that is new or empty with --to.")


def _chosen(text: str, every: Sequence[Layer]) -> list[str]:
    """Return the whole names of the layers that --layers names."""
    if text == ALL:
        return [each.name for each in every if each.has_maps]
    return [_whole(word.strip(), every) for word in text.split(",")]


def _whole(word: str, every: Sequence[Layer]) -> str:
    """Return the whole name of a layer that has maps."""
    layer = named(word, every)
    if not layer.has_maps:
        raise FacelimeError(
            f"--layers {word} answers {layer.shape}, not maps of places; choose one of height × width × maps."
        )
    return layer.name


def _draw(
    net: Layered, picture: NDArray[np.uint8], chosen: list[str], to: Path, context: Context
) -> list[dict[str, Any]]:
    """Write one picture a layer, into a folder that is there only when all are."""
    parent = to.absolute().parent
    if not parent.is_dir():
        raise FacelimeError(f"there is no folder {parent}; make it, or choose another --to.")
    drawn = []
    # What was left by a command that was killed; this one leaves nothing when it is stopped.
    temporary.sweep([parent], to.name)
    folder = temporary.beside(to.absolute())
    folder.mkdir(mode=0o700)
    try:
        with context.console.progress("activations", len(chosen), unit="layers") as advance:
            for place, (name, values) in enumerate(net.activations(picture[None], chosen)):
                file = f"{place:03d}-{name.replace('/', '-')}.png"
                n_maps = _write_maps(values[0], folder / file)
                drawn.append({"layer": name, "shape": list(values.shape[1:]), "maps": n_maps, "file": str(to / file)})
                advance(1)
        # It may take the place of an empty folder.
        folder.rename(to)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return drawn


def _write_maps(values: NDArray[np.float32], file: Path) -> int:
    """Write a layer's first maps as one picture, in a square of tiles, and return how many there are."""
    import numpy as np
    from PIL import Image

    from facelime_cli.drawing.sheets import tiled

    maps = values[..., :MOST_MAPS]
    n_maps = int(maps.shape[-1])
    across = int(np.ceil(np.sqrt(n_maps)))
    Image.fromarray(tiled(maps, across)).save(file)
    return n_maps


COMMAND = Command("activations", Params, run, __doc__ or "")

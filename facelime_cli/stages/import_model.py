"""Bring a Keras model from outside into the store, with its input scaling and its class names.

FILE is a whole model (.keras, .h5), or the weights of a known network (--backbone, .weights.h5). One picture is run through it: answers that are no
probabilities are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import digests
from facelime_cli.backbones import ACTIVATIONS, BACKBONES, SCALINGS
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.stage import Choice, Execution, Plan, Stage
from facelime_cli.store import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

FEWEST_CLASSES = 2
APPLICATIONS = tuple(name for name, entry in BACKBONES.items() if entry.application)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `import-model`."""

    source: Annotated[Path, Argument(metavar="FILE", help="Model (.keras, .h5), or weights with --backbone.", show_default=False), Execution()]
    classes: Annotated[
        str, Option(metavar="A,B,…|@FILE", help="Class names in the order of the outputs; two for one sigmoid unit (the second is what it says yes to). @FILE has one per line.", show_default=False)
    ]
    scaling: Annotated[
        str, Choice(tuple(SCALINGS)), Option(help="What the network was trained on; caffe and imagenet subtract means. Wrong scaling gives wrong answers without an error.", show_default=False)
    ]
    backbone: Annotated[str | None, Choice(APPLICATIONS), Option(help="The network whose weights FILE holds.", show_default=False)] = None
    size: Annotated[int | None, Option(min=16, max=4096, help="Side of its pictures in pixels. [default: the file's own, or the backbone's]", show_default=False)] = None
    activation: Annotated[str | None, Choice(ACTIVATIONS), Option(help="What to put behind a network that ends in logits.", show_default=False)] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the file's bytes and the class names; the network is loaded only when it is new."""
    del inputs
    if not params.source.is_file():
        raise NotFoundError(f"there is no file {params.source}; give a .keras, .h5 or .weights.h5 file.")
    classes = class_names(params.classes)
    parameters = {
        "classes": classes,
        "scaling": params.scaling,
        "backbone": params.backbone,
        "size": params.size or (BACKBONES[params.backbone].size if params.backbone else None),
        "activation": params.activation,
    }

    @cache
    def checked() -> tuple[Any, str]:
        return _checked(params, classes)

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli import network

        for unit in units:
            wrapped, output = checked()
            network.save(wrapped, artifact.file("model.keras"))
            facts = {"model": network.digest(wrapped), "size": network.input_size(wrapped), "weights": wrapped.count_params(), "output": output}
            unit.finish({}, made=["model.keras"], facts=facts)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return artifact.unit_facts()[0], []

    def prepare() -> Layout:
        checked()
        return Layout(1, facts={"classes": classes})

    del context
    return Plan(parameters, params.source.name.split(".")[0], prepare, work, sources={"file": digests.of_file(params.source)}, finish=finish)


def class_names(text: str) -> list[str]:
    """Return the names in `a,b,c`, or one per line of `@FILE`, where commas belong to the name."""
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise NotFoundError(f"there is no file {path} with class names; give --classes @FILE with one name per line.")
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except ValueError as why:
            raise FacelimeError(f"{path} is not UTF-8 text; save the class names as UTF-8, one per line.") from why
        while names and not names[-1]:
            names.pop()
    else:
        names = [name.strip() for name in text.split(",")]
    if len(names) < FEWEST_CLASSES or not all(names):
        raise CommandLineError(f"--classes {text!r} names {len([name for name in names if name])} classes and should name every output, two or more, none empty.")
    return names


def _checked(params: Params, classes: list[str]) -> tuple[Any, str]:
    """Return the network as facelime will use it, after pictures have gone through it, and the kind of its output."""
    from facelime_cli import network

    net = _loaded(params, len(classes))
    size = network.input_size(net) or params.size
    if size is None:
        raise FacelimeError(f"{params.source} takes pictures of any size; say which with --size.")
    if params.size not in {None, size}:
        raise FacelimeError(f"{params.source} reads pictures of {size}×{size}, not of {params.size}×{params.size}; leave --size out.")
    wrapped = network.with_scaling(net, scaling=params.scaling, size=size, n_classes=len(classes), activation=params.activation)
    activation = params.activation or network.final_activation(net)
    fault = network.why_not_probabilities(network.trial_answers(wrapped, size), activation)
    if fault:
        raise FacelimeError(f"{params.source}: {fault}")
    return wrapped, activation or "unknown"


def _loaded(params: Params, n_classes: int) -> Any:
    from facelime_cli import network

    if params.backbone is None:
        if params.source.name.endswith(".weights.h5"):
            raise FacelimeError(f"{params.source} holds weights alone; say of which network with --backbone {'|'.join(APPLICATIONS)}.")
        return network.load(params.source)
    return network.application_with_weights(params.backbone, params.source, n_classes, params.size or BACKBONES[params.backbone].size)


STAGE = Stage(name="import-model", writes="models", version=1, params=Params, plan=plan, help=__doc__)

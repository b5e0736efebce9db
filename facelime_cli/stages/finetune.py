"""Train a network on a dataset: a pretrained one with a new head, or a small one from nothing.

The input scaling becomes a layer of the saved model, so training and explaining cannot differ in it. Training is taken up again at the last whole epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import digests
from facelime_cli.backbones import BACKBONES
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.sources import PARTS
from facelime_cli.stage import Choice, Input, Plan, Stage, results_of
from facelime_cli.store import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli import network
    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact, Unit

PRETRAINED = "imagenet"
FEWEST_CLASSES = 2
MEMORY_BYTES = 1 << 30
"""Pictures up to this size are read once; more are read batch by batch."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `finetune`."""

    dataset: Annotated[str, Argument(metavar="DATASET", help="Dataset with labels and parts.", show_default=False), Input(("datasets",))]
    backbone: Annotated[str, Choice(tuple(BACKBONES)), Option(help="Network; cnn is small and needs no weights.")]
    weights: Annotated[str | None, Option(metavar="imagenet|none|FILE", show_default=False, help="Where the backbone's weights come from. [default: imagenet; none for cnn]")] = None
    epochs: Annotated[int, Option(min=1, help="Passes over the training part; the best one by validation loss is kept.")] = 10
    batch_size: Annotated[int, Option(min=1, help="Pictures per step.")] = 32
    learning_rate: Annotated[float, Option(min=1e-9, help="Of the Adam optimiser.")] = 1e-3
    freeze: Annotated[str | None, Option(metavar="N|all|none", show_default=False, help="How many of the backbone's first layers stay as they are. [default: all with weights, none without]")] = None
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="Of initial weights and order; training is not reproducible to the bit.")] = 0


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Check the dataset and resolve where the weights come from."""
    dataset = inputs["dataset"]
    facts = dataset.facts
    if len(facts["classes"]) < FEWEST_CLASSES:
        raise FacelimeError(f"datasets/{dataset.id} has {len(facts['classes'])} classes; training needs a source with a sub-folder for each of two or more.")
    if sum(counts["train"] for counts in facts["counts"].values()) == 0:
        raise FacelimeError(f"datasets/{dataset.id} has no training part; preprocess the source with another --split.")
    pretrained = bool(BACKBONES[params.backbone].application)
    weights = params.weights or (PRETRAINED if pretrained else "none")
    freeze = _freeze(params.freeze or ("none" if weights == "none" else "all"))
    sources = {}
    if weights not in {PRETRAINED, "none"}:
        if not Path(weights).is_file():
            raise NotFoundError(f"there is no weights file {weights}; give a .weights.h5 file, imagenet or none to --weights.")
        sources["weights"] = digests.of_file(Path(weights))
    parameters = {**results_of(params), "weights": "file" if sources else weights, "freeze": freeze}

    @cache
    def built() -> Any:
        from facelime_cli import network

        return network.build(params.backbone, int(facts["size"]), len(facts["classes"]), weights, freeze)

    def prepare() -> Layout:
        built()  # what is wrong with weights, size or layers shows before anything is written
        return Layout(1, facts={"classes": facts["classes"], "size": facts["size"], "output": "softmax"})

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            _train(params, built(), dataset, artifact, unit, context)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return artifact.unit_facts()[0], []

    name = f"{dataset.name}-{params.backbone}"
    return Plan(parameters, name, prepare, work, inputs, sources, finish)


def _freeze(text: str) -> str:
    if text not in {"all", "none"} and not text.isdecimal():
        raise CommandLineError(f"--freeze {text!r} should be all, none or a number of layers.")
    return text


def _train(params: Params, net: Any, dataset: Artifact, artifact: Artifact, unit: Unit, context: Context) -> None:
    from facelime_cli import network
    from facelime_cli.core import metrics

    classes = dataset.facts["classes"]
    parts = _parts(dataset)
    history = unit.scratch("history.csv")
    how = network.Training(params.epochs, params.batch_size, params.learning_rate, params.seed, unit.scratch("backup"), history)
    steps = -(-len(parts["train"].rows) // params.batch_size) * params.epochs
    done = len(network.read_history(history)) * (steps // params.epochs)
    with context.console.progress("finetune", steps, done, "steps") as advance:
        network.train(net, parts["train"], parts["validation"], how, context.console.note, advance)
    figures = {name: metrics.figures(parts[name].labels, network.probabilities(net, parts[name], params.batch_size), classes) if len(parts[name].rows) else {"n": 0} for name in PARTS[1:]}
    for name, each in figures.items():
        if each["n"]:
            context.console.note(f"{name}: {each['n']} pictures, accuracy {each['accuracy']:.3f}, balanced accuracy {each['balanced_accuracy']:.3f}")
    network.save(net, artifact.file("model.keras"))
    artifact.file("history.csv").write_bytes(history.read_bytes())
    facts = {"model": network.digest(net), "weights": net.count_params(), "history": network.read_history(history), **figures}
    unit.finish({}, made=["model.keras", "history.csv"], facts=facts)


def _parts(dataset: Artifact) -> dict[str, network.Part]:
    import numpy as np

    from facelime_cli import network

    labels, split = dataset.read("labels").astype(np.int64), dataset.read("split")
    rows = {name: np.flatnonzero((split == index) & (labels >= 0)) for index, name in enumerate(PARTS)}
    shape = dataset.layout["arrays"]["images"]["shape"]
    whole = dataset.read("images") if math.prod(shape) <= MEMORY_BYTES else None

    def read(chosen: list[int]) -> NDArray[np.uint8]:
        return dataset.read("images", chosen) if whole is None else whole[chosen]

    return {name: network.Part(read, part, labels[part]) for name, part in rows.items()}


STAGE = Stage(name="finetune", writes="models", version=1, params=Params, plan=plan, help=__doc__)

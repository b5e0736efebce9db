"""Bring a model from outside into the store, with its input scaling and its class names.

SOURCE is a whole Keras model (.keras, .h5), the weights of a known network (--backbone, .weights.h5), an ONNX file, a
TFLite file, the folder of a TensorFlow SavedModel, or a PyTorch program (.pt2 of torch.export, .pt of TorchScript). It
may also be package.module:build, which returns a torch.nn.Module, or a Python function, package.module:function, that
turns float32 pictures (B, H, W, 3) in 0…1 into probabilities (B, classes). Some pictures are run through the model, and
answers that are no probabilities are refused. A model that answers with values, such as an age, is imported with
--output-kind value, --names and --unit.

A model that carries code is loaded where you trust it: a SavedModel, a PyTorch program and a Lambda layer with --trust,
what stands in a Python module because you name it. In a store that was copied from elsewhere you trust a model with
`facelime trust add`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering import runtimes
from facelime_cli.answering.runtimes import FORMATS, LONGEST_UNIT, VALUE, is_unit
from facelime_cli.choices import words_of
from facelime_cli.core import shapes
from facelime_cli.engine import Plan, Stage, facts_of_only_unit
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, SCALINGS, WRITTEN_SCALING, published
from facelime_cli.options import Choice, Execution, Input, Resolved
from facelime_cli.plain import shown
from facelime_cli.store import familiarity
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facelime_cli.engine import Context, Pending
    from facelime_cli.importing.checked import Checked
    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact


CLASSES = "classes"
"""What a model answers about that gives probabilities, beside `VALUE`."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `import-model`."""

    source: Annotated[
        Path,
        Argument(
            metavar="SOURCE",
            help="Model, weights with --backbone, SavedModel folder, or package.module:name.",
            show_default=False,
        ),
        Resolved(("function",)),
    ]
    classes: Annotated[
        str | None,
        Option(
            metavar="A,B,…|@FILE",
            help="Name the classes in the order of the outputs. One sigmoid unit has two, the second of which is yes. "
            "@FILE has one name per line; a .csv file has names, or numbers and names, and a .json file the form of "
            "ImageNet or of Keras. A model of values has --names instead.",
            show_default=False,
        ),
        Resolved(),
    ] = None
    scaling: Annotated[
        str | None,
        Option(
            metavar=f"{'|'.join(SCALINGS)}|{WRITTEN_SCALING}",
            autocompletion=lambda: list(SCALINGS),
            help=f"Say what was done to the pictures in training ({words_of(SCALINGS)}; mean:…/std:…: the mean "
            "and deviation of channels in 0..1, one number or three each). A wrong scaling gives wrong answers without "
            "an error. Every source needs it except a function, which reads 0..1.",
            show_default=False,
        ),
    ] = None
    backbone: Annotated[
        str | None,
        Choice(published(BACKBONES)),
        Option(help="Name the network whose weights SOURCE holds.", show_default=False),
    ] = None
    size: Annotated[
        str | None,
        Option(
            metavar="SIDE|HxW",
            help="Set the size of its pictures in pixels; what stands in a Python module needs it. 224 is a square, "
            "75x100 has 75 rows of 100 pixels. [default: the file's own, or the backbone's]",
            show_default=False,
        ),
        Resolved(),
    ] = None
    activation: Annotated[
        str | None,
        Choice(tuple(ACTIVATIONS)),
        Option(help="Put this behind a network that ends in logits.", show_default=False),
    ] = None
    multi_label: Annotated[
        bool,
        Option(
            "--multi-label",
            help="Let each class have a probability of its own, as behind sigmoids: they need not add up to 1.",
        ),
        Resolved(),
    ] = False
    output_kind: Annotated[
        str,
        Choice((CLASSES, VALUE)),
        Option(
            help="Say what the model answers with: the probabilities of classes, or one or several values in a unit of "
            "their own, such as an age in months.",
        ),
        Resolved(),
    ] = CLASSES
    names: Annotated[
        str | None,
        Option(
            metavar="A,B,…|@FILE",
            help="Name the values of --output-kind value in the order of the outputs, such as age.",
            show_default=False,
        ),
        Resolved(()),
    ] = None
    unit: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Say in which unit these values are, such as months. [default: none]",
            show_default=False,
        ),
        Resolved(),
    ] = None
    output: Annotated[
        str | None,
        Option(
            metavar="NAME",
            help="Choose the output to explain of a network that has several, such as logits beside features. "
            "An error names those that there are.",
            show_default=False,
        ),
        Resolved(),
    ] = None
    model_version: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Give what stands in a Python module a version. Only its source, and the weights of a PyTorch "
            "network, are looked at: change the version when what else the module loads has changed.",
            show_default=False,
        ),
        Resolved(),
    ] = None
    check: Annotated[
        Path | None,
        Option(
            metavar="PICTURE",
            help="Try whether the scaling is right: the model must see the class of --expect in this picture, or it is "
            "not imported. What the usual scalings show is told, and the one that shows the class best is named.",
            show_default=False,
        ),
        Execution(),
    ] = None
    expect: Annotated[
        str | None,
        Option(metavar="CLASS", help="Name the class of the picture of --check.", show_default=False),
        Execution(),
    ] = None
    reference: Annotated[
        str | None,
        Option(
            metavar="DATASET",
            show_default=False,
            help="Keep a summary of the features of this dataset's training split, or of all its pictures where it "
            "has none, such as those that the network was trained on. Then `evaluate`, `predict` and `explain` say "
            "which pictures are unlike them. [default: none]",
        ),
        Input(("datasets",)),
    ] = None
    trust: Annotated[
        bool,
        Option(
            "--trust",
            help="Let the code of a model run on this machine with your rights: a SavedModel, a PyTorch program, or a "
            "Keras file with a Lambda layer. `facelime trust` lists what you trust.",
        ),
        Execution(),
    ] = False


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the source's bytes and the class names; the model is loaded only when it is new."""
    source, dataset = _source(params), inputs.get("reference")
    form = source.format
    _check_reference(form, source)
    source.check_options(is_checked=params.check is not None)

    @cache
    def checked() -> Checked:
        from facelime_cli.importing.checked import unsteady

        warning = FORMATS[form].warning
        if warning:
            context.console.warn(warning.format(source=params.source.name))
        found = source.checked()
        for words in (*found.warnings, *unsteady(source, found)):
            context.console.warn(words)
        return found

    def prepare() -> Layout:
        _check_pictures(source, checked(), dataset)
        return Layout(1, facts={"classes": source.classes})

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            written = checked().write(artifact)
            made, facts = _write_summary(artifact, checked(), dataset, context)
            unit.finish({}, made=[*written, *made], facts={**checked().facts, **facts})

    def found(model: Artifact) -> None:
        from facelime_cli.importing.checked import trust_again

        for words in trust_again(source, model):
            context.console.warn(words)

    # Here, since it is asked for even where the store holds the model already.
    if params.check is not None or params.expect is not None:
        from facelime_cli.importing.expecting import check

        context.console.note(check(source, params.check, params.expect, checked))
    return Plan(
        params=params,
        resolved=_resolved(params, source),
        name=source.name,
        inputs=inputs,
        prepare=prepare,
        work=work,
        found=found,
        sources={"file": source.digest()},
        finish=facts_of_only_unit,
    )


def _check_reference(form: str, source: Source) -> None:
    """Raise where --reference asks for features that cannot be had."""
    if source.features and not FORMATS[form].features:
        able = ", ".join(each.words for each in FORMATS.values() if each.features)
        raise CommandLineError(
            f"--reference needs what the last layer of {source.path} reads, which {FORMATS[form].words} does not show; "
            f"leave it out, or import the same network as one of these: {able}."
        )


def _check_pictures(source: Source, checked: Checked, dataset: Artifact | None) -> None:
    """Raise where the pictures of --reference are of another size than the model reads."""
    if dataset is not None:
        runtimes.check_pictures(str(source.path), checked.facts["size"], dataset)


def _write_summary(
    model: Artifact, checked: Checked, dataset: Artifact | None, context: Context
) -> tuple[list[str], dict[str, Any]]:
    """Write a summary of a dataset's features beside a model, and return its file and facts; none without dataset."""
    if dataset is None or checked.features is None:
        return [], {}
    from facelime_cli.training import familiarising

    try:
        facts = familiarising.write(model, checked.features, familiarising.known(dataset), context.console)
    except familiarising.TooFewError as why:
        raise FacelimeError(f"--reference {dataset.reference}: {why}") from why
    return [familiarity.FILE], facts


def _source(params: Params) -> Source:
    """Return the model to import, and what was said about it."""
    from facelime_cli.importing.source import Source

    return Source(
        path=params.source,
        classes=_names(params),
        scaling=params.scaling,
        backbone=params.backbone,
        size=None if params.size is None else shapes.parsed(params.size),
        activation=params.activation,
        multi_label=params.multi_label,
        model_version=params.model_version,
        trust=params.trust,
        values=params.output_kind == VALUE,
        unit=_unit(params.unit),
        output=params.output,
        features=params.reference is not None,
    )


def _resolved(params: Params, source: Source) -> dict[str, Any]:
    """Return what the options come to mean, for the fingerprint."""
    resolved: dict[str, Any] = {"classes": source.classes, "size": source.file_size}
    # These are there only where they say something, so that other models keep their fingerprints.
    if params.multi_label:
        resolved["multi_label"] = True
    if params.output is not None:
        resolved["output"] = params.output
    if source.values:
        resolved |= {"output_kind": VALUE, "unit": source.unit}
    if source.is_named:
        resolved |= {"function": str(params.source), "model_version": params.model_version}
    return resolved


def _names(params: Params) -> list[str]:
    """Return the names of the outputs: those of classes, or of values."""
    from facelime_cli.importing.class_names import class_names, value_names

    needed, given, other = "--classes", params.classes, params.names
    if params.output_kind == VALUE:
        needed, given, other = "--names", params.names, params.classes
    if other is not None:
        wrong = "--classes" if needed == "--names" else "--names"
        raise CommandLineError(f"{wrong} does not go with --output-kind {params.output_kind}; use {needed} instead.")
    if params.output_kind != VALUE and params.unit is not None:
        raise CommandLineError(f"--unit {params.unit} belongs to --output-kind value; leave it out.")
    if given is None:
        what = "values that the model answers with, such as --names age" if needed == "--names" else "classes"
        raise CommandLineError(f"{needed} is missing: name the {what}, in the order of the outputs.")
    return value_names(given) if needed == "--names" else class_names(given)


def _unit(text: str | None) -> str:
    """Return the unit of values as it stands behind a number."""
    unit = (text or "").strip()
    if not is_unit(unit):
        raise CommandLineError(
            f"--unit {shown(unit)[:LONGEST_UNIT]!r} cannot stand behind a number; give at most {LONGEST_UNIT} "
            "characters of plain text, such as months."
        )
    return unit


def restored(model: Artifact) -> dict[str, Any]:
    """Return size and names as they are typed, and what a source in Python is called."""
    size = model.parameters["size"]
    found: dict[str, Any] = {} if size is None else {"size": shapes.typed(size)}
    if "function" in model.parameters:
        found["source"] = model.parameters["function"]
    # Values have names in the place of classes.
    if model.parameters.get("output_kind") == VALUE:
        found |= {"classes": None, "names": model.parameters["classes"], "unit": model.parameters["unit"] or None}
    return found


STAGE = Stage(
    name="import-model", writes="models", version=1, params=Params, plan=plan, help=__doc__, restored=restored
)

"""Bring a model from outside into the store, with its input scaling and its class names.

SOURCE is a whole Keras model (.keras, .h5), the weights of a known network (--backbone, .weights.h5), an ONNX file, the folder of a TensorFlow SavedModel,
or a Python function, package.module:function, that turns float32 pictures (B, H, W, 3) in 0…1 into probabilities (B, classes): the way for PyTorch and everything
else. Some pictures are run through it: answers that are no probabilities are refused.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import BrokenError, CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models import runtimes
from facelime_cli.models.backbones import ACTIVATIONS, BACKBONES, SCALINGS
from facelime_cli.options import Choice, Execution
from facelime_cli.store import digests
from facelime_cli.store.arrays import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

FEWEST_CLASSES = 2
APPLICATIONS = tuple(name for name, entry in BACKBONES.items() if entry.application)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `import-model`."""

    source: Annotated[
        Path,
        Argument(
            metavar="SOURCE",
            help="Model, weights with --backbone, SavedModel folder, or package.module:function.",
            show_default=False,
        ),
        Execution(),
    ]
    classes: Annotated[
        str,
        Option(
            metavar="A,B,…|@FILE",
            help="Class names in the order of the outputs; two for one sigmoid unit (the second is what it says yes to). @FILE has one per line.",
            show_default=False,
        ),
    ]
    scaling: Annotated[
        str | None,
        Choice(tuple(SCALINGS)),
        Option(
            help="What the network was trained on; caffe and imagenet subtract means. Wrong scaling gives wrong answers without an error. Needed for everything but a function, which reads 0..1.",
            show_default=False,
        ),
    ] = None
    backbone: Annotated[
        str | None, Choice(APPLICATIONS), Option(help="The network whose weights FILE holds.", show_default=False)
    ] = None
    size: Annotated[
        int | None,
        Option(
            min=16,
            max=4096,
            help="Side of its pictures in pixels; a function needs it. [default: the file's own, or the backbone's]",
            show_default=False,
        ),
    ] = None
    activation: Annotated[
        str | None,
        Choice(ACTIVATIONS),
        Option(help="What to put behind a network that ends in logits.", show_default=False),
    ] = None
    multi_label: Annotated[
        bool,
        Option(
            "--multi-label",
            help="Each class has a probability of its own, as behind sigmoids: they need not add up to 1.",
        ),
    ] = False
    model_version: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Of a Python function: change it when what the module loads (weights, packages) has changed, since only its source is looked at.",
            show_default=False,
        ),
    ] = None
    trust: Annotated[
        bool,
        Option(
            "--trust", help="Load a Keras file with code of its own (a Lambda layer), which then runs on this machine."
        ),
        Execution(),
    ] = False


@dataclass(frozen=True)
class _Checked:
    """A model that may come in: its facts, and what writes its files and returns their names."""

    facts: Mapping[str, Any]
    write: Callable[[Artifact], Sequence[str]] = field(default=lambda _: ())


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the source's bytes and the class names; the model is loaded only when it is new."""
    del inputs
    form = _format(params.source)
    classes = class_names(params.classes)
    _check_options(params, form)
    parameters = {
        "classes": classes,
        "scaling": params.scaling,
        "backbone": params.backbone,
        "size": params.size or (BACKBONES[params.backbone].size if params.backbone else None),
        "activation": params.activation,
        **({"multi_label": True} if params.multi_label else {}),
        **(
            {"function": str(params.source), "model_version": params.model_version} if form == runtimes.FUNCTION else {}
        ),
    }

    @cache
    def checked() -> _Checked:
        if form in WARNINGS:
            context.console.warn(WARNINGS[form].format(source=params.source.name))
        return CHECKS[form](params, classes)

    def work(artifact: Artifact, units: Pending) -> None:
        for unit in units:
            unit.finish({}, made=checked().write(artifact), facts=checked().facts)

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        return artifact.facts_of_units()[0], []

    def prepare() -> Layout:
        checked()
        return Layout(1, facts={"classes": classes})

    name = str(params.source).rpartition(":")[2] if form == runtimes.FUNCTION else params.source.name.split(".")[0]
    return Plan(parameters, name, prepare, work, sources={"file": _digest(params.source, form)}, finish=finish)


WARNINGS = {
    runtimes.FUNCTION: "{source} is Python code, which runs on this machine with your rights, now and with every `predict`; import only what you trust.",
    runtimes.SAVED_MODEL: "{source} is a program for TensorFlow, which may read and write files; import only what you trust.",
}


def _format(source: Path) -> str:
    """Return a source's format, or say that there is none."""
    from facelime_cli.models import outside

    if outside.REFERENCE.fullmatch(str(source)) and not source.exists():
        return runtimes.FUNCTION
    if source.is_dir() and (source / "saved_model.pb").is_file():
        return runtimes.SAVED_MODEL
    if source.is_dir():
        raise NotFoundError(
            f"the folder {source} holds no saved_model.pb; give a SavedModel's folder, a .keras, .h5, .weights.h5 or .onnx file, or package.module:function."
        )
    if not source.is_file():
        raise NotFoundError(
            f"there is no file {source}; give a .keras, .h5, .weights.h5 or .onnx file, a SavedModel's folder, or package.module:function."
        )
    return runtimes.ONNX if source.suffix.lower() == ".onnx" else runtimes.KERAS


def _check_options(params: Params, form: str) -> None:
    """Raise for an option that is missing, or that belongs to another format."""
    function = form == runtimes.FUNCTION
    if (params.scaling is None) != function:
        raise CommandLineError(
            "--scaling belongs to a network; a Python function reads 0..1 and scales for itself, so leave it out."
            if function
            else "--scaling is missing: say what the network was trained on."
        )
    if function and params.size is None:
        raise CommandLineError(f"--size is missing: say which pictures {params.source} reads, such as --size 224.")
    if params.model_version is not None and not function:
        raise CommandLineError(
            "--model-version belongs to a Python function; a file's own bytes are looked at, so leave it out."
        )
    if form != runtimes.KERAS and (params.backbone or params.trust):
        raise CommandLineError(f"--{'backbone' if params.backbone else 'trust'} belongs to Keras files; leave it out.")


def _digest(source: Path, form: str) -> str:
    """Return the digest of what a source holds."""
    from facelime_cli.models import outside

    if form == runtimes.FUNCTION:
        return outside.source_digest(str(source))
    return digests.of_value(_files_of(source)) if form == runtimes.SAVED_MODEL else digests.of_file(source)


def _files_of(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's files by relative name."""
    return {
        path.relative_to(folder).as_posix(): digests.of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def class_names(text: str) -> list[str]:
    """Return the names in `a,b,c`, or one per line of `@FILE`, where commas belong to the name."""
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise NotFoundError(
                f"there is no file {path} with class names; give --classes @FILE with one name per line."
            )
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except ValueError as why:
            raise FacelimeError(f"{path} is not UTF-8 text; save the class names as UTF-8, one per line.") from why
        while names and not names[-1]:
            names.pop()
    else:
        names = [name.strip() for name in text.split(",")]
    if len(names) < FEWEST_CLASSES or not all(names):
        raise CommandLineError(
            f"--classes {text!r} names {len([name for name in names if name])} classes and should name every output, two or more, none empty."
        )
    return names


# Checking, one for each format


def _keras(params: Params, classes: list[str]) -> _Checked:
    from facelime_cli.models import wrapping

    wrapped, output = _wrapped(params, _loaded(params, len(classes)), classes)
    facts = {
        "model": wrapping.digest(wrapped),
        "size": wrapping.input_size(wrapped),
        "weights": wrapped.count_params(),
        "output": output,
    }

    def write(artifact: Artifact) -> Sequence[str]:
        wrapping.save(wrapped, artifact.file("model.keras"))
        return ["model.keras"]

    return _Checked(facts | ({"trusted": True} if params.trust else {}), write)


def _saved_model(params: Params, classes: list[str]) -> _Checked:
    from facelime_cli.models import outside, wrapping

    net = wrapping.load_saved_model(params.source)
    wrapped, output = _wrapped(params, net, classes)
    files, size = _files_of(params.source), wrapping.input_size(wrapped)
    around = outside.Around(
        str(params.scaling),
        wrapping.channels(net),
        channels_first=False,
        activation=params.activation,
        classes=len(classes),
    )
    facts = {"format": runtimes.SAVED_MODEL, "size": size, "output": output, **around.facts()}
    name = runtimes.FILES[runtimes.SAVED_MODEL]

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copytree(params.source, artifact.file(name), dirs_exist_ok=True)
        return [f"{name}/{each}" for each in files]

    return _Checked({"model": digests.of_value({"files": files, **facts}), **facts}, write)


def _wrapped(params: Params, net: Any, classes: list[str]) -> tuple[Any, str]:
    """Return a network as facelime will use it, after pictures have gone through it, and the kind of its output."""
    from facelime_cli.models import running, wrapping

    size = _size(params, wrapping.input_size(net))
    wrapped = wrapping.with_scaling(
        net, scaling=str(params.scaling), size=size, n_classes=len(classes), activation=params.activation
    )
    activation = params.activation or wrapping.final_activation(net)
    _check_answers(params, running.trial_answers(wrapped, size), activation)
    return wrapped, activation or "unknown"


def _size(params: Params, own: int | None) -> int:
    size = own or params.size
    if size is None:
        raise FacelimeError(f"{params.source} takes pictures of any size; say which with --size.")
    if params.size not in {None, size}:
        raise FacelimeError(
            f"{params.source} reads pictures of {size}×{size}, not of {params.size}×{params.size}; leave --size out."
        )
    return size


def _check_answers(params: Params, answers: NDArray[np.float32], activation: str) -> None:
    from facelime_cli.models import wrapping

    fault = wrapping.why_not_probabilities(answers, activation, independent=params.multi_label)
    if fault:
        raise FacelimeError(f"{params.source}: {fault}")


def _loaded(params: Params, n_classes: int) -> Any:
    from facelime_cli.models import building, wrapping

    if params.backbone is None:
        if params.source.name.endswith(".weights.h5"):
            raise FacelimeError(
                f"{params.source} holds weights alone; say of which network with --backbone {'|'.join(APPLICATIONS)}."
            )
        return wrapping.load(params.source, trust=params.trust)
    return building.application_with_weights(
        params.backbone, params.source, n_classes, params.size or BACKBONES[params.backbone].size
    )


def _onnx(params: Params, classes: list[str]) -> _Checked:
    from facelime_cli.models import outside, wrapping

    runtimes.check_installed("onnx", runtimes.ONNX)
    session = _alone(params.source)
    side, channels, channels_first = outside.onnx_shape(session, params.source.name)
    around = outside.Around(str(params.scaling), channels, channels_first, params.activation, len(classes))
    wrapping.check_channels(around.scaling, channels)
    facts = _tried(params, around, outside.onnx_run(session), runtimes.ONNX, _size(params, side))
    name = runtimes.FILES[runtimes.ONNX]

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copyfile(params.source, artifact.file(name))
        return [name]

    return _Checked({"model": digests.of_value({"file": digests.of_file(params.source), **facts}), **facts}, write)


def _alone(source: Path) -> Any:
    """Return an ONNX file's session, loaded where nothing lies beside it, as in the store."""
    from tempfile import TemporaryDirectory

    from facelime_cli.models import outside

    with TemporaryDirectory() as folder:
        try:
            return outside.onnx_session(Path(shutil.copy(source, folder)))
        except BrokenError:
            session = outside.onnx_session(source)
    del session
    raise FacelimeError(
        f"{source} keeps its weights in another file beside it; export it as one file, in PyTorch with torch.onnx.export(…, external_data=False)."
    )


def _function(params: Params, classes: list[str]) -> _Checked:
    from facelime_cli.models import outside

    reference = str(params.source)
    around = outside.Around(
        outside.FUNCTION_SCALING, 3, channels_first=False, activation=params.activation, classes=len(classes)
    )
    facts = _tried(params, around, outside.function(reference), runtimes.FUNCTION, int(params.size or 0))
    facts |= {"function": reference, "source": outside.source_digest(reference), "model_version": params.model_version}
    module = reference.partition(":")[0]
    covered = {
        "not_covered": f"what {module} imports and loads: packages, other modules, files of weights; --model-version stands for them"
    }
    return _Checked({"model": digests.of_value(facts), **facts, **covered})


def _tried(params: Params, around: Any, run: Callable[..., Any], form: str, size: int) -> dict[str, Any]:
    """Run pictures through a classifier that Keras does not run, and return its facts."""
    from facelime_cli.models import running, wrapping

    answers = around.outputs(run, str(params.source))(running.trial_pictures(size))
    wrapping.check_activation(params.activation, answers.shape[1])
    _check_answers(params, answers, params.activation or "")
    return {"format": form, "size": size, "output": params.activation or "unknown", **around.facts()}


CHECKS = {
    runtimes.KERAS: _keras,
    runtimes.SAVED_MODEL: _saved_model,
    runtimes.ONNX: _onnx,
    runtimes.FUNCTION: _function,
}

STAGE = Stage(name="import-model", writes="models", version=1, params=Params, plan=plan, help=__doc__)

"""Models from outside: what a source is, whether it may come in, and what is kept of it.

One function checks each format: those that `runtimes.FORMATS` names.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.core import shapes
from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import BrokenError, CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models import building, outside, programs, running, runtimes, wrapping
from facelime_cli.models.backbones import BACKBONES, published
from facelime_cli.models.runtimes import FORMATS, FUNCTION, KERAS, ONNX, SAVED_MODEL
from facelime_cli.plain import shown
from facelime_cli.store import digests, temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Size
    from facelime_cli.store.artifacts import Artifact

FEWEST_CLASSES = 2
WHAT_THERE_IS = "a .keras, .h5, .weights.h5 or .onnx file"
UNKNOWN = "unknown"
"""The kind of an output whose activation cannot be told."""


@dataclass(frozen=True)
class Source:
    """A model to import, and what was said about it, see `import-model --help`.

    Attributes
    ----------
    path : pathlib.Path
        A file, a folder, or the text package.module:function.
    classes : list of str
        Class names in the order of its outputs.
    scaling : str, optional
        A key of `SCALINGS`.
    backbone : str, optional
        The network whose weights the file holds, a key of `BACKBONES`.
    size : int or list of int, optional
        Side of its pictures, or height and width, in pixels.
    activation : str, optional
        What to put behind it, a key of `ACTIVATIONS`.
    multi_label : bool
        Whether each class has a probability of its own.
    model_version : str, optional
        Of what a function loads.
    trust : bool
        Whether code inside it may run.
    """

    path: Path
    classes: list[str]
    scaling: str | None = None
    backbone: str | None = None
    size: int | list[int] | None = None
    activation: str | None = None
    multi_label: bool = False
    model_version: str | None = None
    trust: bool = False

    @property
    def file_size(self) -> int | list[int] | None:
        """Size of the pictures that was asked for, or with which the backbone was published."""
        if self.size is None and self.backbone is not None:
            return BACKBONES[self.backbone].size
        return self.size

    @property
    def name(self) -> str:
        """What the model is called when nobody names it."""
        if self.format == FUNCTION:
            return str(self.path).rpartition(":")[2]
        return self.path.name.split(".")[0]

    @property
    def format(self) -> str:
        """Its format, a key of `FORMATS`; raises NotFoundError where there is nothing."""
        if outside.REFERENCE.fullmatch(str(self.path)) and not self.path.exists():
            return FUNCTION
        if self.path.is_dir():
            if (self.path / "saved_model.pb").is_file():
                return SAVED_MODEL
            raise NotFoundError(
                f"the folder {self.path} holds no saved_model.pb; give a SavedModel's folder, {WHAT_THERE_IS}, "
                "or package.module:function."
            )
        if not self.path.is_file():
            raise NotFoundError(
                f"there is no file {self.path}; give {WHAT_THERE_IS}, a SavedModel's folder, "
                "or package.module:function."
            )
        return ONNX if self.path.suffix.lower() == ".onnx" else KERAS

    def check_options(self) -> None:
        """Raise for an option that is missing, or that belongs to another format.

        Raises
        ------
        CommandLineError
        """
        form = self.format
        if form == FUNCTION:
            self._check_options_of_a_function()
        elif self.scaling is None:
            raise CommandLineError("--scaling is missing: say what the network was trained on.")
        elif self.model_version is not None:
            raise CommandLineError(
                "--model-version belongs to a Python function; a file is known by its own bytes, so leave it out."
            )
        if form != KERAS and self.backbone:
            raise CommandLineError("--backbone belongs to Keras files; leave it out.")
        if form == ONNX and self.trust:
            raise CommandLineError(
                "--trust belongs to models that carry code, and an ONNX file has none; leave it out."
            )

    def _check_options_of_a_function(self) -> None:
        if self.scaling is not None:
            raise CommandLineError(
                "--scaling belongs to a network; a Python function reads 0..1 and scales for itself, so leave it out."
            )
        if self.size is None:
            raise CommandLineError(f"--size is missing: say which pictures {self.path} reads, such as --size 224.")

    def digest(self) -> str:
        """Return the digest of what the source holds.

        Returns
        -------
        str

        Raises
        ------
        NotFoundError
            Where there is nothing.
        """
        form = self.format
        if form == FUNCTION:
            return outside.source_digest(outside.modules_of(str(self.path)))
        if form == SAVED_MODEL:
            return digests.of_value(programs.files_of(self.path))
        return digests.of_file(self.path)

    def checked(self) -> Checked:
        """Run some pictures through the model, and return what is kept of it.

        Returns
        -------
        Checked

        Raises
        ------
        FacelimeError
            Where it cannot be loaded, or its answers are no probabilities.
        """
        found: Checked = FORMATS[self.format].load()(self)
        return found


@dataclass(frozen=True)
class Checked:
    """A model that may come in.

    Attributes
    ----------
    facts : mapping
        Of the model's artifact.
    write : callable
        Writes the files of an artifact and returns their names.
    """

    facts: Mapping[str, Any]
    write: Callable[[Artifact], Sequence[str]]


def class_names(text: str) -> list[str]:
    """Return the class names that --classes gives.

    Parameters
    ----------
    text : str
        `a,b,c`, or `@FILE` with a name on each line, where commas belong to the name.

    Returns
    -------
    list of str

    Raises
    ------
    NotFoundError
        Where there is no such file.
    CommandLineError
        For fewer than two names, an empty one, equal ones outside a file, or one that no line can show.
    """
    names = _lines_of(Path(text[1:])) if text.startswith("@") else [name.strip() for name in text.split(",")]
    if len(names) < FEWEST_CLASSES or not all(names):
        n_named = len([name for name in names if name])
        raise CommandLineError(
            f"--classes {text!r} names {n_named} classes; name every output, two or more, and leave none empty."
        )
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    # ImageNet has two cranes: a whole list of names in a file is kept as it is.
    if twice is not None and not text.startswith("@"):
        raise CommandLineError(
            f"--classes names {twice!r} twice; give every output a name of its own, or name a file with @FILE "
            "where two outputs are called the same."
        )
    hidden = next((name for name in names if shown(name) != name), None)
    if hidden is not None:
        raise CommandLineError(
            f"--classes names {shown(hidden)!r}, which holds a control character; use names of one line of plain text."
        )
    return names


def _lines_of(path: Path) -> list[str]:
    """Return the lines of a file without the empty ones at its end."""
    try:
        with opened(path) as stream:
            text = stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(
            f"the class names in {path} cannot be read ({reason_of(why)}); give --classes @FILE with one name per line."
        ) from why
    except ValueError as why:
        raise FacelimeError(f"{path} is not UTF-8 text; save the class names as UTF-8, one per line.") from why
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


# One function for each format


def from_keras(source: Source) -> Checked:
    """Check a Keras file: a whole model, or weights of a known network.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, carries code that is not trusted, or its answers are no probabilities.
    """
    wrapped, output = _wrapped(source, _loaded(source))
    facts = {
        "model": wrapping.digest(wrapped),
        "size": wrapping.input_size(wrapped),
        "weights": wrapped.count_params(),
        "output": output,
    }
    name = FORMATS[KERAS].file

    def write(artifact: Artifact) -> Sequence[str]:
        wrapping.save(wrapped, artifact.file(name))
        if source.trust:
            programs.trust_imported(artifact, KERAS)
        return [name]

    return Checked(facts, write)


def _loaded(source: Source) -> Any:
    """Return the network in a Keras file."""
    if source.backbone is None:
        if source.path.name.endswith(".weights.h5"):
            names = "|".join(published(BACKBONES))
            raise FacelimeError(f"{source.path} holds weights alone; name their network with --backbone {names}.")
        program = programs.in_file(KERAS, source.path)
        _check_consent(source, program)
        return wrapping.load(source.path, trust=program is not None)
    size = source.file_size
    assert size is not None
    return building.application_with_weights(source.backbone, source.path, len(source.classes), size)


def _check_consent(source: Source, program: programs.Program | None) -> None:
    """Raise before anything runs of code that nobody has consented to."""
    if program is not None and not source.trust:
        raise FacelimeError(
            f"{source.path} carries code ({program.words}), which would run on this machine with your rights; "
            "if you know who made it, add --trust."
        )


def from_saved_model(source: Source) -> Checked:
    """Check the folder of a TensorFlow SavedModel.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or its answers are no probabilities.
    """
    _check_consent(source, programs.in_file(SAVED_MODEL, source.path))
    net = wrapping.load_saved_model(source.path)
    wrapped, output = _wrapped(source, net)
    files, size = programs.files_of(source.path), wrapping.input_size(wrapped)
    around = _around(source, str(source.scaling), wrapping.channels(net))
    facts = {"format": SAVED_MODEL, "size": size, "output": output, **around.facts()}
    name = FORMATS[SAVED_MODEL].file

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copytree(source.path, artifact.file(name), dirs_exist_ok=True)
        programs.trust_imported(artifact, SAVED_MODEL)
        return [f"{name}/{each}" for each in files]

    return Checked({"model": digests.of_value({"files": files, **facts}), **facts}, write)


def from_onnx(source: Source) -> Checked:
    """Check an ONNX file.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or its answers are no probabilities.
    """
    runtimes.check_installed("onnx", ONNX)
    session = _alone(source.path)
    sides, channels, channels_first = outside.onnx_shape(session, source.path.name)
    around = _around(source, str(source.scaling), channels, channels_first=channels_first)
    wrapping.check_channels(around.scaling, channels)
    facts = _tried(source, around, outside.onnx_run(session), ONNX, _size(source, sides))
    name = FORMATS[ONNX].file

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copyfile(source.path, artifact.file(name))
        return [name]

    return Checked({"model": digests.of_value({"file": digests.of_file(source.path), **facts}), **facts}, write)


def _alone(path: Path) -> Any:
    """Return an ONNX file's session, loaded where nothing lies beside it, as in the store."""
    with temporary.outside() as folder:
        try:
            return outside.onnx_session(Path(shutil.copy(path, folder)))
        except BrokenError:
            session = outside.onnx_session(path)
    # It only loads where it lies.
    del session
    raise FacelimeError(
        f"{path} keeps its weights in another file beside it; export it as one file, "
        "in PyTorch with torch.onnx.export(…, external_data=False)."
    )


def from_function(source: Source) -> Checked:
    """Check a Python function, which runs the code of its module.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be imported, or its answers are no probabilities.
    """
    reference = str(source.path)
    modules = outside.modules_of(reference)
    around = _around(source, outside.FUNCTION_SCALING, wrapping.COLOUR)
    assert source.size is not None
    facts = {
        **_tried(source, around, outside.function(reference, modules), FUNCTION, source.size),
        "function": reference,
        "source": outside.source_digest(modules),
        "model_version": source.model_version,
    }
    module = reference.partition(":")[0]
    not_covered = (
        f"what {module} imports and loads: packages, other modules, files of weights; --model-version stands for them"
    )

    def write(artifact: Artifact) -> Sequence[str]:
        # Who names a function on the command line consents to its code as it is now.
        program = programs.in_function(reference, modules)
        trust.add(program.kind, program.digest, artifact.reference)
        return []

    return Checked({"model": digests.of_value(facts), **facts, "not_covered": not_covered}, write)


# What the formats share


def _wrapped(source: Source, net: Any) -> tuple[Any, str]:
    """Return a network as facelime will use it, after pictures have gone through it, and the kind of its output."""
    size = _size(source, wrapping.input_sides(net))
    wrapped = wrapping.with_scaling(
        net,
        scaling=str(source.scaling),
        size=size,
        n_classes=len(source.classes),
        activation=source.activation,
    )
    activation = source.activation or wrapping.final_activation(net)
    _check_answers(source, running.trial_answers(wrapped, size), activation)
    return wrapped, activation or UNKNOWN


def _size(source: Source, own: tuple[int | None, int | None]) -> int | list[int]:
    """Return the size of the pictures that a model reads, from its own height and width and what was asked for."""
    height, width = own
    # One side alone means a square.
    rows, columns = (height or width, width or height) if source.size is None else shapes.sides(source.size)
    if rows is None or columns is None:
        raise FacelimeError(f"{source.path} takes pictures of any size; choose one with --size.")
    if (rows, columns) != (height or rows, width or columns):
        remedy = "give one that fits, height first" if None in own else "leave --size out"
        raise FacelimeError(
            f"{source.path} reads pictures of {height or 'any height'}×{width or 'any width'}, "
            f"not of {rows}×{columns}; {remedy}."
        )
    return shapes.size_of(rows, columns)


def _around(source: Source, scaling: str, channels: int, *, channels_first: bool = False) -> outside.Around:
    return outside.Around(
        scaling,
        channels,
        channels_first=channels_first,
        activation=source.activation,
        classes=len(source.classes),
    )


def _tried(source: Source, around: outside.Around, run: Callable[..., Any], form: str, size: Size) -> dict[str, Any]:
    """Run pictures through a classifier that Keras does not run, and return its facts."""
    classifier = around.outputs(run, str(source.path))
    answers = classifier(running.trial_pictures(size))
    wrapping.check_activation(source.activation, answers.shape[1])
    _check_answers(source, answers, source.activation or "")
    return {"format": form, "size": size, "output": source.activation or UNKNOWN, **around.facts()}


def _check_answers(source: Source, answers: NDArray[np.float32], activation: str) -> None:
    fault = wrapping.why_not_probabilities(answers, activation, independent=source.multi_label)
    if fault:
        raise FacelimeError(f"{source.path}: {fault}")

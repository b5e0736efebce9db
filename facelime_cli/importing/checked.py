"""A model that may come in: what its answers must be, whatever its format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import trust
from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.around import BYTES, BYTES_SCALING, FLOAT32, Around
from facelime_cli.answering.runtimes import FORMATS, VALUE
from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError
from facelime_cli.models import running, wrapping
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.answering.around import Answers
    from facelime_cli.answering.programs import Program
    from facelime_cli.core.shapes import Size
    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact

STEADY = 5e-3
"""How far the answers to a picture may be apart, which is more than rounding in 16 bits makes of a probability."""
UNKNOWN = "unknown"
"""The kind of an output whose activation cannot be told."""


@dataclass(frozen=True)
class Checked:
    """A model that may come in.

    Attributes
    ----------
    facts : mapping
        Of the model's artifact.
    write : callable
        Writes the files of an artifact and returns their names.
    answers : callable
        From (B, H, W, 3) float32 pictures in display space to (B, C) float32, or (B, 1) for a single unit.
    warnings : tuple of str
        What a user should know of it.
    features : callable, optional
        From such pictures to (B, F) float32 features; None where they cannot be had.
    """

    facts: Mapping[str, Any]
    write: Callable[[Artifact], Sequence[str]]
    answers: Answers
    warnings: tuple[str, ...] = ()
    features: Answers | None = None


def wrapped_network(source: Source, net: Any) -> tuple[Any, str, Answers]:
    """Return a network as facelime will use it, after pictures have gone through it.

    Parameters
    ----------
    source : Source
    net : keras.Model
        With one output.

    Returns
    -------
    wrapped : keras.Model
    output : str
        The kind of its output.
    answers : callable
        As that of `Checked`.
    """
    size = size_of(source, wrapping.input_sides(net))
    wrapped = wrapping.with_scaling(
        net,
        scaling=str(source.scaling),
        size=size,
        n_classes=len(source.classes),
        activation=source.activation,
        values=source.values,
    )
    activation = source.activation or wrapping.final_activation(net)
    # In 32 bits, as it will answer, whatever it was saved with.
    answering = wrapping.in_precision(wrapped, FLOAT32, trust=source.trust)
    _check_answers(source, running.trial_answers(answering, size), activation)
    return wrapped, activation, lambda pictures: running.answers_of(answering, pictures)


def size_of(source: Source, own: tuple[int | None, int | None]) -> int | list[int]:
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


def around_of(
    source: Source, scaling: str, channels: int, *, channels_first: bool = False, reads: str = FLOAT32
) -> Around:
    """Return what stands around a classifier that Keras does not wrap.

    Parameters
    ----------
    source : Source
    scaling : str
        As `backbones.scaling_of` reads it.
    channels : int
    channels_first : bool
    reads : str
        The dtype of the classifier's input.

    Returns
    -------
    Around

    Raises
    ------
    FacelimeError
        Where the scaling is none of what bytes can hold.
    """
    if reads == BYTES and scaling != BYTES_SCALING:
        raise FacelimeError(
            f"{source.path} reads bytes, which no other scaling than {BYTES_SCALING} fits; "
            f"give --scaling {BYTES_SCALING}."
        )
    return Around(
        scaling,
        channels,
        channels_first=channels_first,
        activation=source.activation,
        classes=len(source.classes),
        values=source.values,
        output=source.output,
        reads=reads,
    )


def output_facts(source: Source, output: str | None = None) -> dict[str, str]:
    """Return what the facts of a model say of its output.

    Parameters
    ----------
    source : Source
    output : str, optional
        The kind of its output, where it answers with probabilities.

    Returns
    -------
    dict
        The unit too, where it answers with values.
    """
    if source.values:
        return {"output": VALUE, "unit": source.unit}
    return {"output": output or UNKNOWN}


def tried(source: Source, around: Around, run: Callable[..., Any], form: str, size: Size) -> dict[str, Any]:
    """Run pictures through a classifier that Keras does not run, and return its facts; see `facts_of`."""
    classifier = answers_of(around, run, source)
    return facts_of(source, around, classifier(running.trial_pictures(size)), form, size)


def answers_of(around: Around, run: Callable[..., Any], source: Source) -> Answers:
    """Return what a classifier that Keras does not run answers to pictures; as `answers` of `Checked`."""
    return around.outputs(run, str(source.path))


def facts_of(
    source: Source, around: Around, answers: NDArray[np.float32], form: str, size: Size, *, step: float = 0.0
) -> dict[str, Any]:
    """Return the facts of a classifier that Keras does not run, from what it answers to the trial pictures.

    Parameters
    ----------
    source : Source
    around : Around
    answers : (B, C) float32 array
        After the activation.
    form : str
        A key of `FORMATS`.
    size : int or sequence of int
    step : float
        Between two answers that it can give, where these are coarse.

    Returns
    -------
    dict

    Raises
    ------
    FacelimeError
        Where they are no probabilities.
    """
    wrapping.check_activation(source.activation, answers.shape[1])
    _check_answers(source, answers, source.activation or "", step)
    return {"format": form, "size": size, **output_facts(source, source.activation), **around.facts()}


def _check_answers(source: Source, answers: NDArray[np.float32], activation: str, step: float = 0.0) -> None:
    if source.values:
        fault = wrapping.why_not_values(answers)
    else:
        fault = wrapping.why_not_probabilities(answers, activation, independent=source.multi_label, step=step)
    if fault:
        raise FacelimeError(f"{source.path}: {fault}")


def of_file(
    source: Source, form: str, facts: Mapping[str, Any], answers: Answers, warnings: tuple[str, ...] = ()
) -> Checked:
    """Return a model whose file is kept as it is; code in it, which was consented to, is trusted from then on.

    Parameters
    ----------
    source : Source
    form : str
        A key of `FORMATS`.
    facts : mapping
        From `facts_of`, and what else the format knows.
    answers : callable
    warnings : tuple of str
        As those of `Checked`.

    Returns
    -------
    Checked
    """
    name = FORMATS[form].file

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copyfile(source.path, artifact.file(name))
        programs.trust_imported(artifact, form)
        return [name]

    made = {"model": digests.of_value({"file": digests.of_file(source.path), **facts}), **facts}
    return Checked(made, write, answers, warnings)


def unsteady(source: Source, found: Checked) -> tuple[str, ...]:
    """Say that a model answers otherwise when it is asked again, or in other company.

    Parameters
    ----------
    source : Source
    found : Checked

    Returns
    -------
    tuple of str
        Empty for a model whose answers depend on the picture alone.
    """
    pictures = running.trial_pictures(found.facts["size"])
    first, again, alone = (found.answers(each.copy()) for each in (pictures, pictures, pictures[:1]))
    scale = max(1.0, float(np.abs(first).max())) if source.values else 1.0
    for other, when in ((again, "when it is asked again"), (alone, "when two others stand in the same call")):
        differences = np.abs(first[: len(other)] - other)
        if differences.max() > STEADY * scale:
            at = np.unravel_index(differences.argmax(), differences.shape)
            sentence = (
                f"{source.path} answers one picture with {other[at]:.3g}, and with {first[at]:.3g} {when}, as with "
                "dropout or batch normalisation in training mode; explanations will show that too, so export the "
                "network in evaluation mode."
            )
            return (sentence,)
    return ()


def trust_again(source: Source, model: Artifact) -> tuple[str, ...]:
    """Keep that this user trusts the code of a source, where the store holds the model already.

    It is trusted where the store holds exactly the bytes that the user names: others may be somebody else's.

    Parameters
    ----------
    source : Source
    model : Artifact
        The one in the store.

    Returns
    -------
    tuple of str
        Says where the store holds other code than that, as Keras writes a file anew.
    """
    stored = programs.of_stored(model) if source.trust or source.is_named else None
    if stored is None or stored.trusted:
        return ()
    path = source.path
    program = (
        programs.in_function(str(path), python_modules.modules_of(str(path)))
        if source.is_named
        else programs.in_file(source.format, path)
    )
    if program == stored:
        trust.add(stored.kind, stored.digest, model.reference)
        return ()
    sentence = (
        f"{model.reference} was in the store already, and holds code that you do not trust on this machine as it is; "
        f"if you know who made it, run `facelime trust add {model.reference}`."
    )
    return (sentence,)


def check_consent(source: Source, program: Program | None) -> None:
    """Raise before anything runs of code that nobody has consented to."""
    if program is not None and not source.trust:
        raise FacelimeError(
            f"{source.path} carries code ({program.words}), which would run on this machine with your rights; "
            "if you know who made it, add --trust."
        )

"""A model's file for another runtime: converted once, and kept beside the model."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from facelime_cli import trust
from facelime_cli.answering import programs, several
from facelime_cli.answering.runtimes import FLOAT32, KERAS, format_of, n_members
from facelime_cli.errors import BrokenError
from facelime_cli.store import digests
from facelime_cli.workers import in_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact

PLANES = "planes"
"""What a converted network reads: (B, 3, H, W) uint8, which takes a third of the time that float32 takes to compose."""
PIXELS = "pixels"
"""What it reads behind a resizing: (B, H, W, 3) float32."""
FEATURES_FILE = "features.onnx"
"""Beside a model of the format `onnx` that tells unlike pictures: the same network, which answers with features."""
FEATURES = "facelime_features"
"""The name of its output."""
CONVERTED = "converted"
"""What the user's own facelime has made of a model, among what is trusted."""


@contextmanager
def file_for(
    model: Artifact, form: str, name: str, versions: Mapping[str, str], reads: str = PIXELS, *, features: bool = False
) -> Iterator[Path]:
    """Yield a private copy of a model's file for another runtime: its own, or one converted once and kept beside it.

    What is kept is known by the digest of what it was made from and with. It is used where this user's own facelime has
    made it: in a store from elsewhere, anything could stand there.

    Parameters
    ----------
    model : Artifact
    form : str
        What to convert a Keras network to: a key of `RUNTIMES`.
    name : str
        Of the converted file.
    versions : mapping
        What decides the conversion beside the model and Keras.
    reads : str
        What the converted network reads, as `whole_pictures.reads` says.
    features : bool
        Whether it is to answer with features. An ONNX file has another one beside it that does.

    Yields
    ------
    pathlib.Path
    """
    with programs.opened(model) as (path, program):
        if format_of(model) != KERAS:
            beside = path.with_name(FEATURES_FILE)
            if features:
                programs.copy(model.file(FEATURES_FILE), beside, model.reference)
            yield beside if features else path
            return
        source = digests.of_file(path)

        def convert(folder: Path) -> None:
            # Its memory goes back to the system, and this process needs no TensorFlow.
            asked = (form, reads, program is not None, model.reference, features, n_members(model))
            in_child(convert_network, path, folder / name, *asked, several.answering(model))
            trust.add(CONVERTED, _conversion(source, folder), model.reference)

        def is_own(folder: Path) -> bool:
            return trust.is_trusted(CONVERTED, _conversion(source, folder))

        made_from = {"content": model.content, "for": form, "reads": reads, "keras": version("keras"), **versions}
        if features:
            made_from["answers"] = "features"
        copied = path.with_name("converted")
        programs.copy(model.kept(made_from, convert, is_own), copied, model.reference)
        if not is_own(copied):
            raise BrokenError(f"what {model.reference} was converted to changed while it was read; try again.")
        yield copied / name


def convert_network(  # noqa: PLR0913, PLR0917 - called by position, in another process
    path: Path,
    target: Path,
    form: str,
    reads: str,
    runs_code: bool,  # noqa: FBT001 - called by position, in another process
    what: str,
    answers_features: bool,  # noqa: FBT001 - as above
    members: int = 0,
    output: str | None = None,
) -> None:
    """Convert a Keras network, on TensorFlow whatever the backend of the command is.

    Parameters
    ----------
    path, target : pathlib.Path
        Its file, and the one to write.
    form : str
        A key of `RUNTIMES`.
    reads : str
        What the converted network reads, as `whole_pictures.reads` says.
    runs_code : bool
        Whether code in the file runs: this user trusts it.
    what : str
        Name of the model in errors.
    answers_features : bool
        Whether it is to answer with features.
    members : int
        Of how many networks it is the mean: then each of them answers too, see `ensembles.speaking`.
    output : str, optional
        The name of the output that is converted, where the network has several.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from facelime_cli.models import ensembles, exporting, outputs, wrapping
    from facelime_cli.models.features import network_of

    network = wrapping.load(path, trust=runs_code, what=what)
    if output is not None:
        network = outputs.with_one(network, output, what)
    network = wrapping.in_precision(network, FLOAT32, trust=runs_code)
    if answers_features:
        network = network_of(network, what)
    elif members:
        network = ensembles.speaking(network, members, what)
    exporting.export(exporting.reading_planes(network) if reads == PLANES else network, target, form)


def _conversion(source: str, folder: Path) -> str:
    """Return the digest of a converted model, and of the file that it was made from."""
    files = programs.files_of(folder)
    files.pop(digests.SEAL, None)  # it is written last
    return digests.of_value({"source": source, "files": files})

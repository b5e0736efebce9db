"""A model to import: where it is, what was said about it, and what of that belongs to its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.runtimes import FORMATS, FUNCTION, KERAS, ONNX, SAVED_MODEL, TFLITE, TORCH_MODULE
from facelime_cli.errors import CommandLineError, NotFoundError
from facelime_cli.importing import torch_archives
from facelime_cli.models.backbones import BACKBONES, scaling_of
from facelime_cli.store import digests

if TYPE_CHECKING:
    from pathlib import Path

    from facelime_cli.importing.checked import Checked

WHAT_THERE_IS = "a .keras, .h5, .weights.h5, .onnx, .tflite, .pt2 or .pt file"
SUFFIXES = {".onnx": ONNX, ".tflite": TFLITE}
"""Formats of files by the end of their name; any other is Keras'."""


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
        As `backbones.scaling_of` reads it.
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
    values : bool
        Whether it answers with values, whose names `classes` then holds, and not with probabilities.
    unit : str
        Of its values.
    output : str, optional
        The name of the output to explain, where it has several.
    features : bool
        Whether its features are needed too.
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
    values: bool = False
    unit: str = ""
    output: str | None = None
    features: bool = False

    @property
    def file_size(self) -> int | list[int] | None:
        """Size of the pictures that was asked for, or with which the backbone was published."""
        if self.size is None and self.backbone is not None:
            return BACKBONES[self.backbone].size
        return self.size

    @property
    def name(self) -> str:
        """What the model is called when nobody names it."""
        if self.is_named:
            return str(self.path).rpartition(":")[2]
        return self.path.name.split(".")[0]

    @property
    def is_named(self) -> bool:
        """Whether it is code that is named, package.module:function, and no file."""
        return FORMATS[self.format].is_named

    @property
    def format(self) -> str:
        """Its format, a key of `FORMATS`; raises FacelimeError where there is nothing, or none that is known."""
        if python_modules.REFERENCE.fullmatch(str(self.path)) and not self.path.exists():
            reads = python_modules.takes_arguments(str(self.path))
            # Where the source does not tell, the option does: only a network has an input scaling.
            is_function = self.scaling is None if reads is None else reads
            return FUNCTION if is_function else TORCH_MODULE
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
        suffix = self.path.suffix.lower()
        if suffix in torch_archives.SUFFIXES:
            return torch_archives.format_in(self.path)
        return SUFFIXES.get(suffix, KERAS)

    @property
    def scales_itself(self) -> bool:
        """Whether it has no input scaling, since it is a function."""
        return self.format == FUNCTION

    @property
    def needs_scaling(self) -> bool:
        """Whether its input scaling is missing."""
        return self.scaling is None and not self.scales_itself

    def check_options(self, *, is_checked: bool = False) -> None:
        """Raise for an option that is missing, or that belongs to another format.

        Parameters
        ----------
        is_checked : bool
            Whether a picture will tell which scaling is right, where that is missing.

        Raises
        ------
        CommandLineError
        """
        form = self.format
        if self.scaling is not None:
            scaling_of(self.scaling)
        if self.values:
            self._check_options_of_values()
        if form == FUNCTION and self.scaling is not None:
            raise CommandLineError(
                "--scaling belongs to a network; a Python function reads 0..1 and scales for itself, so leave it out."
            )
        if form == FUNCTION and self.output is not None:
            raise CommandLineError(
                "--output belongs to a network; let the Python function return that output alone, and leave it out."
            )
        if self.needs_scaling and not is_checked:
            raise CommandLineError("--scaling is missing: say what the network was trained on.")
        if self.is_named and self.size is None:
            raise CommandLineError(f"--size is missing: say which pictures {self.path} reads, such as --size 224.")
        if not self.is_named and self.model_version is not None:
            raise CommandLineError(
                "--model-version belongs to what stands in a Python module; a file is known by its own bytes, so leave "
                "it out."
            )
        if form != KERAS and self.backbone:
            raise CommandLineError("--backbone belongs to Keras files; leave it out.")
        if form in {ONNX, TFLITE} and self.trust:
            raise CommandLineError(
                f"--trust belongs to models that carry code, and {FORMATS[form].words} has none; leave it out."
            )

    def _check_options_of_values(self) -> None:
        given = {
            f"--activation {self.activation}": self.activation is not None,
            "--multi-label": self.multi_label,
            f"--backbone {self.backbone}": self.backbone is not None,
        }
        wrong = next((option for option, is_given in given.items() if is_given), None)
        if wrong is not None:
            raise CommandLineError(f"{wrong} belongs to models that answer with probabilities; leave it out.")

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
        if self.is_named:
            return python_modules.source_digest(python_modules.modules_of(str(self.path)))
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

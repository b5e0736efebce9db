"""Models that carry code: what of them would run, and whether this user trusts it. The one gate before any is loaded.

What decides are the bytes that are about to be loaded, never what a manifest says of them: whoever can write one can
write the other.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.answering import python_modules
from facelime_cli.answering.runtimes import (
    FORMATS,
    FUNCTION,
    KERAS,
    SAVED_MODEL,
    TORCH_FORMATS,
    format_of,
    require_answering,
)
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.store import digests, temporary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact

CODE_LAYERS = {
    "Lambda",
    "TFSMLayer",
    "TorchModuleWrapper",
    "JaxLayer",
    "FlaxLayer",
    # These read a file that they name.
    "IndexLookup",
    "IntegerLookup",
    "StringLookup",
    "TextVectorization",
}
"""Layers of Keras that hold code, or load it from elsewhere."""
CODE_VALUES = {"__lambda__", "__typespec__", "TypeSpec", "CompositeTensor"}
"""What else makes Keras run or import something while it reads a configuration."""
NETWORKS = {"Functional", "Model", "Sequential", "DTypePolicy", "FloatDTypePolicy"}
"""What a configuration may take from `keras` and `keras.models`, where functions that read files live too."""
PARTS = {
    "activations",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "ops",
    "optimizers",
    "quantizers",
    "random",
    "regularizers",
}
"""Parts of Keras that compute, and do nothing else."""
LIBRARIES = {"keras_cv", "keras_hub", "keras_nlp"}
"""Packages beside itself that Keras imports when a file names them."""
HDF5_SUFFIXES = (".h5", ".hdf5")
CONFIGURATION = "config.json"
MOST_CONFIGURATION = 64 << 20
"""Bytes. That of a network with a thousand layers takes less than one MiB."""


@dataclass(frozen=True)
class Program:
    """Code that a model carries.

    Attributes
    ----------
    kind : str
        A key of `FORMATS`.
    words : str
        What of it is code.
    digest : str
        Of all bytes that would be loaded.
    """

    kind: str
    words: str
    digest: str

    @property
    def trusted(self) -> bool:
        """Whether this user trusts it."""
        return trust.is_trusted(self.kind, self.digest)


# What carries code


def in_file(form: str, path: Path) -> Program | None:
    """Return the code in a model's file or folder, which is looked at without running any of it.

    Parameters
    ----------
    form : str
        A key of `FORMATS`, but none that is named in Python.
    path : pathlib.Path

    Returns
    -------
    Program or None
        None where it is data alone.

    Raises
    ------
    BrokenError
        Where a Keras file cannot be read, or needs a class that is none of Keras'.
    """
    if form == SAVED_MODEL:
        return Program(SAVED_MODEL, "a TensorFlow SavedModel", digests.of_value(files_of(path)))
    if form in TORCH_FORMATS:
        return Program(form, FORMATS[form].words, digests.of_file(path))
    if form != KERAS:
        return None
    words = next(_code_in(configuration_of(path), path), None)
    return None if words is None else Program(KERAS, words, digests.of_file(path))


def in_function(reference: str, modules: Mapping[str, python_modules.Module]) -> Program:
    """Return a Python function as code: its name, its module, and the packages around that.

    Parameters
    ----------
    reference : str
        `package.module:function`.
    modules : mapping
        From `python_modules.modules_of`.

    Returns
    -------
    Program
    """
    sources = {name: digests.of_bytes(module.content) for name, module in modules.items()}
    path = list(modules.values())[-1].path
    value = {"function": reference, "sources": sources}
    return Program(FUNCTION, f"the Python function {reference} in {path}", digests.of_value(value))


def files_of(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's files by relative name.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    dict
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): digests.of_file(path) for path in files}


def configuration_of(path: Path) -> Any:
    """Return what a Keras file says it is made of.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    object
        None where Keras would find nothing in it either.

    Raises
    ------
    BrokenError
        Where it cannot be read.
    """
    try:
        if path.name.endswith(HDF5_SUFFIXES):
            from facelime_cli.store.hdf5 import root_attribute

            text = root_attribute(path, "model_config")
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(CONFIGURATION).file_size > MOST_CONFIGURATION:
                    raise BrokenError(f"{path.name} holds a configuration of more than 64 MiB; export the model again.")
                text = archive.read(CONFIGURATION).decode()
        else:
            text = None
        configuration = None if text is None else json.loads(text)
    except (ValueError, KeyError, OSError, RecursionError, NotImplementedError, zipfile.BadZipFile) as why:
        raise BrokenError(
            f"{path.name} cannot be loaded as a Keras model (its configuration is damaged); export it again."
        ) from why
    if isinstance(configuration, dict):
        # How it was trained is left out when it is loaded, and may name losses of its maker's own.
        configuration.pop("compile_config", None)
    return configuration


def _code_in(configuration: Any, path: Path) -> Iterator[str]:
    """Yield in words what of a configuration is code; what is neither code nor Keras' own is refused."""
    left = [configuration]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left.extend(each)
        if not isinstance(each, dict):
            continue
        left.extend(each.values())
        name = each.get("class_name")
        if name is None:
            continue
        module = each.get("module")
        if name in CODE_LAYERS:
            yield f"a layer of the kind {name}"
        elif name in CODE_VALUES:
            yield f"a value of the kind {name}"
        elif module is not None and str(module).partition(".")[0] in LIBRARIES:
            yield f"the class {name!r} of {module!r}"
        elif not _is_of_keras(module, name, each.get("registered_name")):
            owner = each.get("registered_name") or module
            raise BrokenError(
                f"{path.name} needs {name!r} of {owner!r}, which is none of Keras' own, so no file can bring it; "
                "import the model as a Python function, package.module:function."
            )


def _is_of_keras(module: Any, name: Any, registered: Any) -> bool:
    """Tell whether a configuration names something that computes, of Keras itself."""
    if not isinstance(name, str) or (registered is not None and ">" in str(registered)):
        return False
    if module is None:
        return True  # Keras looks it up in its own tables
    if not isinstance(module, str):
        return False
    parts = module.split(".")
    if parts[0] != "keras":
        return module == "builtins" and name == "function"
    inside = parts[2:] if parts[1:2] == ["src"] else parts[1:]
    if not inside or inside[0] == "models":
        return name in NETWORKS
    return inside[0] in PARTS


# The gate


@contextmanager
def opened(model: Artifact, member: str | None = None) -> Iterator[tuple[Path, Program | None]]:
    """Yield a private copy of a stored model's file or folder, once everything in it may run.

    What was looked at is what is loaded: nobody else can change the copy in between.

    Parameters
    ----------
    model : Artifact
        No Python function.
    member : str, optional
        The file of one network of a model that has one for each fold.

    Yields
    ------
    path : pathlib.Path
    program : Program or None
        The code that it carries.

    Raises
    ------
    FacelimeError
        For code that this user does not trust.
    BrokenError
        Where the file is not there, or is none.
    """
    with _copy(model, member) as (path, program):
        require(model, program)
        yield path, program


def of_stored(model: Artifact) -> Program | None:
    """Return the code that a stored model carries; nothing of it runs.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    Program or None

    Raises
    ------
    FacelimeError
        Where the file, or the module of a function, is not there.
    """
    if FORMATS[format_of(model)].is_named:
        reference = reference_in(model)
        return in_function(reference, python_modules.modules_of(reference))
    with _copy(model) as (_, program):
        return program


def reference_in(model: Artifact) -> str:
    """Return the `package.module:function` that a stored model names.

    Parameters
    ----------
    model : Artifact
        Of the format `function` or `torch-module`.

    Returns
    -------
    str

    Raises
    ------
    BrokenError
        Where it is no such name.
    """
    reference = model.facts.get("function")
    if not isinstance(reference, str) or not python_modules.REFERENCE.fullmatch(reference):
        raise BrokenError(f"{model.reference} names no package.module:function; import it again.")
    return reference


def require(model: Artifact, program: Program | None) -> None:
    """Raise for code that this user does not trust.

    Parameters
    ----------
    model : Artifact
        The stored model that carries it.
    program : Program or None

    Raises
    ------
    FacelimeError
    """
    if program is not None and not program.trusted:
        raise FacelimeError(
            f"{model.reference} carries code ({program.words}), which you do not trust on this machine as it is now; "
            f"if you know who made it, run `facelime trust add {model.reference}`."
        )


def require_of_stored(model: Artifact) -> None:
    """Raise for a stored model that carries code which this user does not trust, before work on it begins.

    Parameters
    ----------
    model : Artifact

    Raises
    ------
    FacelimeError
    """
    require(model, of_stored(model))


def trust_imported(model: Artifact, form: str) -> None:
    """Keep that this user trusts the code in a file that was just written into the store.

    Parameters
    ----------
    model : Artifact
    form : str
        A key of `FORMATS`, but none that is named in Python.

    Raises
    ------
    FacelimeError
        Where it cannot be kept.
    """
    program = in_file(form, model.path / FORMATS[form].file)
    if program is not None:
        trust.add(program.kind, program.digest, model.reference)


@contextmanager
def _copy(model: Artifact, member: str | None = None) -> Iterator[tuple[Path, Program | None]]:
    form = format_of(model)
    if member is None:
        require_answering(model)
    name = member or FORMATS[form].file
    with temporary.outside() as folder:
        path = folder / name
        copy(model.file(name), path, model.reference)
        yield path, in_file(form, path)


def copy(source: Path, to: Path, what: str) -> None:
    """Copy a file or a folder out of a store: plain files alone, and no link is followed.

    Parameters
    ----------
    source, to : pathlib.Path
    what : str
        The artifact's name in errors.

    Raises
    ------
    BrokenError
        Where something is not there, or is neither a file nor a folder.
    """
    try:
        if source.is_dir() and not source.is_symlink():
            to.mkdir(mode=0o700)
            for each in sorted(source.iterdir()):
                copy(each, to / each.name, what)
            return
        # Without waiting: a named pipe would never answer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as why:
        raise BrokenError(
            f"{source.name} of {what} cannot be read ({(why.strerror or str(why)).lower()}); import the model again."
        ) from why
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BrokenError(f"{source.name} of {what} is no file; import the model again.")
        with to.open("wb") as made:
            shutil.copyfileobj(stream, made, digests.READ_BYTES)

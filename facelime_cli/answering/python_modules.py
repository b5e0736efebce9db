"""The source of a Python function: found and read without running it, and then run as it was read."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.answering.around import told
from facelime_cli.errors import FacelimeError, NotFoundError, StopRequested
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType

    from facelime_cli.answering.around import Run
    from facelime_cli.store.artifacts import Artifact

REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
"""A name such as package.module:function."""


@dataclass(frozen=True)
class Module:
    """A Python module whose code has not run yet.

    Attributes
    ----------
    path : pathlib.Path
    content : bytes
        Of its file.
    """

    path: Path
    content: bytes


def modules_of(reference: str) -> dict[str, Module]:
    """Read the module of `package.module:function` and the packages around it; nothing of them runs.

    Parameters
    ----------
    reference : str
        Its module is found from the working folder or among the installed packages.

    Returns
    -------
    dict
        By name, the outermost package first and the module itself last.

    Raises
    ------
    NotFoundError
        Where there is no such module.
    """
    module = reference.partition(":")[0]
    if "" not in sys.path:
        sys.path.insert(0, "")  # the working folder, as `python -m` does
    found: dict[str, Module] = {}
    places: Sequence[str] | None = None
    parts = module.split(".")
    for n_parts in range(1, len(parts) + 1):
        name = ".".join(parts[:n_parts])
        spec = _spec(name, places)
        if spec is not None and spec.origin and Path(spec.origin).is_file():
            path = Path(spec.origin)
            found[name] = Module(path, path.read_bytes())
            places = spec.submodule_search_locations or []
        else:
            places = _folders(parts[n_parts - 1], places)
    if module not in found:
        raise NotFoundError(
            f"there is no Python module {module} with a source file, neither in this folder nor installed; "
            f"run the command where `import {module}` works."
        )
    return found


def source_digest(modules: Mapping[str, Module]) -> str:
    """Return the digest of the source of a function's own module.

    Parameters
    ----------
    modules : mapping
        From `modules_of`.

    Returns
    -------
    str
    """
    return digests.of_bytes(list(modules.values())[-1].content)


def takes_arguments(reference: str) -> bool | None:
    """Tell from its source whether `package.module:function` must be given something; nothing of it runs.

    Parameters
    ----------
    reference : str

    Returns
    -------
    bool or None
        None where the source does not tell: it is defined elsewhere, decorated, or not there.
    """
    module, _, name = reference.partition(":")
    try:
        tree = ast.parse(modules_of(reference)[module].content)
    except (NotFoundError, SyntaxError, ValueError, RecursionError):  # said when it is imported
        return None
    bound = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == name]
    if not bound or bound[-1].decorator_list:
        return None
    arguments = bound[-1].args
    n_needed = len([*arguments.posonlyargs, *arguments.args]) - len(arguments.defaults)
    return n_needed > 0 or arguments.vararg is not None


def unchanged(model: Artifact, reference: str) -> dict[str, Module]:
    """Return the modules of a stored model's function, whose source is that which was imported.

    Parameters
    ----------
    model : Artifact
    reference : str
        `package.module:function`.

    Returns
    -------
    dict
        As `modules_of`.

    Raises
    ------
    FacelimeError
        Where the source has changed.
    """
    modules = modules_of(reference)
    if source_digest(modules) != model.facts["source"]:
        raise FacelimeError(
            f"the source of {reference} has changed since models/{model.id} was imported; "
            f"import it again with `facelime import-model {reference}`."
        )
    return modules


def _spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """Return where a module is; unlike `importlib.util.find_spec`, this imports no package around it."""
    for finder in sys.meta_path:
        # Python lists the folders of a package without a file of its own by the one around it, which is not there.
        with contextlib.suppress(KeyError):
            spec = finder.find_spec(name, places)
            if spec is not None:
                return spec
    return None


def _folders(name: str, places: Sequence[str] | None) -> list[str]:
    """Return the folders of a package that has no file of its own."""
    folders = [Path(place or ".").resolve() / name for place in (sys.path if places is None else places)]
    return [str(folder) for folder in folders if folder.is_dir()]


def function(reference: str, modules: Mapping[str, Module]) -> Run:
    """Import `package.module:function`, which runs the code of its modules: these bytes, whatever the files hold now.

    Parameters
    ----------
    reference : str
    modules : mapping
        From `modules_of`.

    Returns
    -------
    callable

    Raises
    ------
    NotFoundError
        Where there is no such function.
    FacelimeError
        Where the module fails.
    """
    module, _, name = reference.partition(":")
    finder = _Finder(modules)
    sys.meta_path.insert(0, finder)
    try:
        with running(f"the Python module {module} cannot be imported"):
            found = getattr(importlib.import_module(module), name, None)
    finally:
        sys.meta_path.remove(finder)
    if not callable(found):
        raise NotFoundError(f"the Python module {module} has no function {name}; give module:function.")
    return found  # type: ignore[no-any-return]


class _Finder(MetaPathFinder):
    """Finds modules that were read already."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self._modules = modules

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where a module is, with a loader of what was read of it."""
        del path, target
        module = self._modules.get(fullname)
        if module is None or module.path.suffix != ".py":
            return None
        is_package = module.path.name == "__init__.py"
        return importlib.util.spec_from_file_location(
            fullname,
            module.path,
            loader=_Loader(fullname, module),
            submodule_search_locations=[str(module.path.parent)] if is_package else None,
        )


class _Loader(SourceFileLoader):
    """Runs what was read of a module: its file may be another by now, and a cache beside it may hold anything."""

    def __init__(self, fullname: str, module: Module) -> None:
        super().__init__(fullname, str(module.path))
        self._content = module.content

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled source."""
        del fullname
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """Let code run that is not ours: its errors are sentences, and the command keeps its folder and its signals.

    Parameters
    ----------
    what : str
        What it is and what is done with it, as errors say it.

    Yields
    ------
    None

    Raises
    ------
    FacelimeError
        Where it fails.
    """
    folder = Path.cwd()
    # Only the main thread may set a handler, so that only a module that it imports can have done so.
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    except StopRequested:
        raise
    except BaseException as why:  # as in `guarded`
        raise FacelimeError(f"{what} ({told(why)}); --debug shows where.") from why
    finally:
        os.chdir(folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)

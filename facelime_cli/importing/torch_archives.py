"""What a file of PyTorch is, told from the names inside it: nothing of it is loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from facelime_cli.answering.runtimes import TORCH_EXPORT, TORCHSCRIPT
from facelime_cli.core.opening import opened, reason_of
from facelime_cli.errors import FacelimeError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = (".pt", ".pth", ".pt2", ".ts", ".jit", ".ptl", ".ckpt", ".tar", ".safetensors")
"""Of files in which people keep networks of PyTorch."""
PICKLED = (b"\x80",)
"""How a pickle begins, and with it what older versions of PyTorch have saved."""
INSTEAD = (
    "save the whole network as a program, torch.export.save(torch.export.export(net, (pictures,)), 'net.pt2'), or name "
    "a function that builds it and loads the weights, package.module:build"
)


def format_in(path: Path) -> str:
    """Return the format of a file of PyTorch.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str
        `torch-export` or `torchscript`.

    Raises
    ------
    NotFoundError
        Where it cannot be read.
    FacelimeError
        For anything else: it says what to do instead.
    """
    if path.suffix.lower() == ".safetensors":
        raise FacelimeError(f"{path} holds weights alone and no network; {INSTEAD}.")
    names, start = _looked_into(path)
    if any(name.startswith("models/") for name in names) or "serialized_exported_program.json" in names:
        return TORCH_EXPORT
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return TORCHSCRIPT
    if any(name.startswith("data/aotinductor/") for name in names):
        raise FacelimeError(f"{path} was compiled for one machine (AOTInductor) and is no network any more; {INSTEAD}.")
    if "data.pkl" in names or start.startswith(PICKLED):
        raise FacelimeError(
            f"{path} is a pickle of torch.save, which holds weights alone or runs whatever is in it when it is loaded; "
            f"{INSTEAD}."
        )
    raise FacelimeError(f"{path} is no network of PyTorch, or is damaged; {INSTEAD}.")


def _looked_into(path: Path) -> tuple[set[str], bytes]:
    """Return the names inside a file, and how it begins."""
    try:
        with opened(path) as stream:
            start = stream.read(1)
        with zipfile.ZipFile(path) as archive:
            return set(_inside(archive.namelist())), start
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return set(), start
    except OSError as why:
        raise NotFoundError(f"{path} cannot be read ({reason_of(why)}); check the path and its permissions.") from why


def _inside(names: Iterable[str]) -> Iterable[str]:
    """Yield names below the one folder that PyTorch puts around everything, and as they are."""
    for name in names:
        yield name
        yield str(PurePosixPath(*PurePosixPath(name).parts[1:]))

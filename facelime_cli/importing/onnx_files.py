"""ONNX files from outside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import onnx_files, runtimes
from facelime_cli.answering.runtimes import ONNX
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.importing import own_scaling, own_scaling_onnx
from facelime_cli.importing.checked import Checked, answers_of, around_of, of_file, size_of, tried
from facelime_cli.models import outputs, wrapping
from facelime_cli.store import temporary

if TYPE_CHECKING:
    from facelime_cli.importing.source import Source


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
    its = onnx_files.input_of(session, source.path.name)
    outputs.place_of(source.output, [each.name for each in session.get_outputs()], str(source.path))
    around = around_of(source, str(source.scaling), its.channels, channels_first=its.channels_first, reads=its.dtype)
    wrapping.check_channels(around.scaling, its.channels)
    run = onnx_files.run_of(session, source.output)
    facts = tried(source, around, run, ONNX, size_of(source, its.sides))
    twice = own_scaling.warning_of(own_scaling_onnx.of_onnx(source.path, its), around.scaling, source.path.name)
    return of_file(source, ONNX, facts, answers_of(around, run, source), twice)


def _alone(path: Path) -> Any:
    """Return an ONNX file's session, loaded where nothing lies beside it, as in the store."""
    with temporary.outside() as folder:
        try:
            return onnx_files.session_of(Path(shutil.copy(path, folder)))
        except BrokenError:
            session = onnx_files.session_of(path)
    # It only loads where it lies.
    del session
    raise FacelimeError(
        f"{path} keeps its weights in another file beside it; export it as one file, "
        "in PyTorch with torch.onnx.export(…, external_data=False)."
    )

"""ONNX files from outside."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import onnx_files, runtimes
from facelime_cli.answering.around import guarded
from facelime_cli.answering.converting import FEATURES_FILE
from facelime_cli.answering.runtimes import ONNX
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.importing import onnx_features, own_scaling, own_scaling_onnx
from facelime_cli.importing.checked import Checked, answers_of, around_of, of_file, size_of, tried
from facelime_cli.models import outputs, wrapping
from facelime_cli.store import temporary
from facelime_cli.store.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.answering.around import Around
    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact


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
    checked = of_file(source, ONNX, facts, answers_of(around, run, source), twice)
    return _looked_into(source, around, checked) if source.features else checked


def _looked_into(source: Source, around: Around, checked: Checked) -> Checked:
    """Return a file that is kept together with one that answers with features."""
    with temporary.outside() as folder:
        path = folder / FEATURES_FILE
        onnx_features.write(source.path, path, source.output)
        run, content = onnx_files.run_of(onnx_files.session_of(path)), path.read_bytes()
    call = guarded(run, str(source.path))

    def write(artifact: Artifact) -> Sequence[str]:
        write_whole(artifact.file(FEATURES_FILE), content)
        return [*checked.write(artifact), FEATURES_FILE]

    return replace(checked, write=write, features=lambda pictures: call(around.to_input(pictures)))


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

"""Folders of TensorFlow SavedModels."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from facelime_cli.answering import programs
from facelime_cli.answering.runtimes import FORMATS, SAVED_MODEL
from facelime_cli.importing.checked import Checked, around_of, check_consent, output_facts, wrapped_network
from facelime_cli.models import wrapping
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact


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
    check_consent(source, programs.in_file(SAVED_MODEL, source.path))
    net = wrapping.load_saved_model(source.path, output=source.output)
    wrapped, output, answers = wrapped_network(source, net)
    files, size = programs.files_of(source.path), wrapping.input_size(wrapped)
    around = around_of(source, str(source.scaling), wrapping.channels(net))
    facts = {"format": SAVED_MODEL, "size": size, **output_facts(source, output), **around.facts()}
    name = FORMATS[SAVED_MODEL].file

    def write(artifact: Artifact) -> Sequence[str]:
        shutil.copytree(source.path, artifact.file(name), dirs_exist_ok=True)
        programs.trust_imported(artifact, SAVED_MODEL)
        return [f"{name}/{each}" for each in files]

    return Checked({"model": digests.of_value({"files": files, **facts}), **facts}, write, answers)

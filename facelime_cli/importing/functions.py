"""Python functions from python_modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli import trust
from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.around import FUNCTION_SCALING
from facelime_cli.answering.runtimes import FUNCTION
from facelime_cli.importing.checked import Checked, around_of, tried
from facelime_cli.models import wrapping
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact


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
    modules = python_modules.modules_of(reference)
    around = around_of(source, FUNCTION_SCALING, wrapping.COLOUR)
    assert source.size is not None
    facts = {
        **tried(source, around, python_modules.function(reference, modules), FUNCTION, source.size),
        "function": reference,
        "source": python_modules.source_digest(modules),
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

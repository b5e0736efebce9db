"""Python functions from outside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.around import FUNCTION_SCALING
from facelime_cli.answering.runtimes import FUNCTION
from facelime_cli.errors import FacelimeError
from facelime_cli.importing.checked import Checked, answers_of, around_of, tried
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
    function = python_modules.function(reference, modules)
    _check_no_network(reference, function)
    around = around_of(source, FUNCTION_SCALING, wrapping.COLOUR)
    assert source.size is not None
    facts = {
        **tried(source, around, function, FUNCTION, source.size),
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

    made = {"model": digests.of_value(facts), **facts, "not_covered": not_covered}
    return Checked(made, write, answers_of(around, function, source))


def _check_no_network(reference: str, function: Any) -> None:
    """Raise for a PyTorch module, which reads channels first and whatever it was trained on."""
    torch = sys.modules.get("torch")
    if torch is not None and (
        isinstance(function, torch.nn.Module) or (isinstance(function, type) and issubclass(function, torch.nn.Module))
    ):
        raise FacelimeError(
            f"{reference} is a network of PyTorch and no function of arrays; "
            "add --scaling, which says what it was trained on."
        )

"""A model's file for another runtime: converted once, and kept beside the model."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from facelime_cli import trust
from facelime_cli.answering import programs
from facelime_cli.answering.keras_networks import network_in
from facelime_cli.answering.runtimes import KERAS, format_of, usual
from facelime_cli.errors import BrokenError
from facelime_cli.models import wrapping
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facelime_cli.store.artifacts import Artifact

CONVERTED = "converted"
"""What the user's own facelime has made of a model, among what is trusted."""


@contextmanager
def file_for(model: Artifact, form: str, name: str, versions: Mapping[str, str]) -> Iterator[Path]:
    """Yield a private copy of a model's file for another runtime: its own, or one converted once and kept beside it.

    What is kept is known by the digest of what it was made from and with. It is used where this user's own facelime has
    made it: in a store from elsewhere, anything could stand there.
    """
    with programs.opened(model) as (path, program):
        if format_of(model) != KERAS:
            yield path
            return
        source = digests.of_file(path)

        def convert(folder: Path) -> None:
            wrapping.export(network_in(model, path, usual(model), runs_code=program is not None), folder / name, form)
            trust.add(CONVERTED, _conversion(source, folder), model.reference)

        def is_own(folder: Path) -> bool:
            return trust.is_trusted(CONVERTED, _conversion(source, folder))

        made_from = {"content": model.content, "for": form, "keras": version("keras"), **versions}
        copied = path.with_name("converted")
        programs.copy(model.kept(made_from, convert, is_own), copied, model.reference)
        if not is_own(copied):
            raise BrokenError(f"what {model.reference} was converted to changed while it was read; try again.")
        yield copied / name


def _conversion(source: str, folder: Path) -> str:
    """Return the digest of a converted model, and of the file that it was made from."""
    files = programs.files_of(folder)
    files.pop(digests.SEAL, None)  # it is written last
    return digests.of_value({"source": source, "files": files})

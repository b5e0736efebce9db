"""The folder that `jobs` writes: its scripts, and the pipeline that they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import FacelimeError
from facelime_cli.jobs.dividing import Job, jobs_of
from facelime_cli.jobs.pipeline import Pipeline, pipeline_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PIPELINE = "pipeline.json"
"""Written last: it says which pipeline the scripts are of, and which files are ours."""
EXECUTABLE = 0o755
PLAIN = 0o644


@dataclass(frozen=True)
class Written:
    """What a folder holds.

    Attributes
    ----------
    pipeline : Pipeline
    shards : dict
        By the name of the step.
    files : list of str
        Names.
    """

    pipeline: Pipeline
    shards: dict[str, int]
    files: list[str]

    @property
    def jobs(self) -> list[Job]:
        """Its jobs, in their order."""
        return jobs_of(self.pipeline, self.shards)


def write(folder: Path, pipeline: Pipeline, shards: dict[str, int], files: Mapping[str, str]) -> None:
    """Write scripts into a folder, and remove those of an earlier call that are not among them any more.

    Parameters
    ----------
    folder : Path
    pipeline : Pipeline
    shards : dict
    files : mapping
        Text by name.

    Raises
    ------
    FacelimeError
        When the folder holds something else.
    """
    from facelime_cli.store.files import json_bytes, write_whole

    before = _before(folder, pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_whole(folder / name, text.encode(), mode=EXECUTABLE if name.endswith(".sh") else PLAIN)
    for name in set(before) - set(files):
        (folder / name).unlink(missing_ok=True)
    value: dict[str, Any] = {"pipeline": pipeline.json(), "shards": shards, "files": sorted(files)}
    write_whole(folder / PIPELINE, json_bytes(value), mode=PLAIN)


def _before(folder: Path, pipeline: Pipeline) -> list[str]:
    """Return the names of the files that an earlier call has written."""
    if not folder.exists() and not folder.is_symlink():
        return []
    if not folder.is_dir():
        raise FacelimeError(f"{folder} is no folder, so job scripts cannot go there; choose another --to.")
    if not (folder / PIPELINE).exists():
        if any(folder.iterdir()):
            raise FacelimeError(f"{folder} holds something else than job scripts; choose another folder with --to.")
        return []
    found = read(folder)
    if found.pipeline.run != pipeline.run:
        raise FacelimeError(
            f"{folder} holds the scripts of run {found.pipeline.run}, and this is run {pipeline.run}; "
            "choose another folder with --to, or delete that one."
        )
    return found.files


def read(folder: Path) -> Written:
    """Return what a folder holds.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FacelimeError
        When there is no pipeline in it.
    """
    from facelime_cli.store.files import read_json

    if not (folder / PIPELINE).is_file():
        raise FacelimeError(
            f"{folder} holds no job scripts of facelime; `facelime jobs slurm --to {folder}` writes them."
        )
    value = read_json(folder / PIPELINE)
    pipeline = pipeline_from(value.get("pipeline") or {})
    shards, files = value.get("shards"), value.get("files")
    damaged = FacelimeError(f"{folder / PIPELINE} is damaged; delete {folder} and write the scripts again.")
    if not isinstance(shards, dict) or not isinstance(files, list):
        raise damaged
    names = {step.name for step in pipeline.steps}
    if set(shards) != names or not all(isinstance(each, str) and "/" not in each for each in files):
        raise damaged
    return Written(pipeline, shards, files)

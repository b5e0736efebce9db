"""Read pictures into a dataset: upright RGB at one size, with labels, patients and parts.

SOURCE is a folder with one sub-folder per class (or train, val and test folders with such sub-folders), a flat folder, or one picture.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import digests
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.machine import cores
from facelime_cli.stage import Execution, Plan, Stage
from facelime_cli.store import ArraySpec, Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.stage import Context, Pending
    from facelime_cli.store import Artifact

DEFAULT_SPLIT = "70:20:10"
PARTS = ("train", "validation", "test")
PART_FOLDERS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
NO_LABEL = -1
NO_PART = -1
NAMED_FAILURES = 5


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `preprocess`."""

    source: Annotated[Path, Argument(metavar="SOURCE", help="Folder of pictures, or one picture.", show_default=False), Execution()]
    size: Annotated[int, Option(min=16, max=4096, help="Side of the square pictures, in pixels; the network's input size.")] = 299
    split: Annotated[str | None, Option(metavar="A:B:C", show_default=False, help=f"Shares of train, validation and test, stratified by class. [default: {DEFAULT_SPLIT}; none without labels]")] = None
    group_pattern: Annotated[
        str | None,
        Option(metavar="kermany|REGEX", show_default=False, help="Patient in the file name (the first group of the expression); no patient comes into two parts. [default: every picture alone]"),
    ] = None
    seed: Annotated[int, Option(help="Seed of the division into parts.")] = 0
    truth: Annotated[
        Path | None,
        Option(metavar="DIR", show_default=False, help="Folder of masks, same relative names as the pictures: what an explanation should mark. The report then says how much it does."),
        Execution(),
    ] = None
    strict: Annotated[bool, Option("--strict", help="Fail on a file that cannot be read, instead of naming and leaving it out."), Execution()] = False
    workers: Annotated[int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()] = None


@dataclass(frozen=True)
class Entry:
    """One picture file of a source."""

    id: str
    path: Path
    label: str | None
    part: int


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the source's names and bytes; decode nothing yet."""
    del inputs
    catalog = _catalog(params.source)
    parameters = _parameters(params, catalog)
    paths = {entry.id: entry.path for entry in catalog}
    truths = {} if params.truth is None else _truth_files(params.truth, catalog)
    sources = {"source": _digest((entry.id, entry.path) for entry in catalog)}
    if params.truth is not None:
        sources["truth"] = _digest(truths.items())

    def prepare() -> Layout:
        readable = _readable(catalog, params, context)
        return _layout(readable, catalog, parameters, with_truth=params.truth is not None, context=context)

    def work(artifact: Artifact, units: Pending) -> None:
        ids = artifact.texts("id")
        with Workers(params.workers) as workers, context.console.progress("preprocess", units.pictures) as advance:
            for unit in units:
                images = workers.map(_square, [(paths[each], params.size) for each in ids[unit.rows]])
                parts = {"images": _stack(images, advance)}
                if params.truth is not None:
                    parts["truth"] = _stack(workers.map(_square_mask, [(truths.get(each), params.size) for each in ids[unit.rows]]))
                unit.finish(parts)

    return Plan(parameters, params.source.resolve().stem, prepare, work, sources=sources)


def _parameters(params: Params, catalog: Sequence[Entry]) -> dict[str, Any]:
    labelled = any(entry.label is not None for entry in catalog)
    fixed_parts = any(entry.part != NO_PART for entry in catalog)
    if params.split is not None and (fixed_parts or not labelled):
        why = "already is divided into train, val and test folders" if fixed_parts else "has no class folders, so there is nothing to divide"
        raise FacelimeError(f"--split {params.split} does not fit {params.source}, which {why}; leave --split out.")
    divides = labelled and not fixed_parts
    return {
        "size": params.size,
        "split": _shares(params.split or DEFAULT_SPLIT) if divides else None,
        "group_pattern": _expression(params.group_pattern),
        "seed": params.seed if divides else None,
        "truth": params.truth is not None,
    }


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(":")]
    except ValueError:
        shares = []
    if len(shares) != len(PARTS) or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise CommandLineError(f"--split {text!r} should be three shares such as {DEFAULT_SPLIT}: train, validation, test.")
    return [round(share / sum(shares), 9) for share in shares]


def _expression(pattern: str | None) -> str | None:
    from facelime_cli.core.splits import GROUP_PATTERNS

    if pattern is None:
        return None
    expression = GROUP_PATTERNS.get(pattern, pattern)
    try:
        re.compile(expression)
    except re.error as why:
        raise CommandLineError(f"--group-pattern {pattern!r} is no regular expression ({why}); use one, or one of {', '.join(GROUP_PATTERNS)}.") from why
    return expression


def _catalog(source: Path) -> list[Entry]:
    from facelime_cli.core.images import picture_files

    if not source.exists():
        raise NotFoundError(f"there is nothing at {source}; give a folder of pictures or a picture.")
    if source.is_file():
        return [Entry(source.stem, source, None, NO_PART)]
    files = [(path.relative_to(source), path) for path in picture_files(source)]
    if not files:
        raise FacelimeError(f"there are no pictures in {source}; give a folder with .jpg, .png, .tif or other picture files.")
    tops = {relative.parts[0] for relative, _ in files if len(relative.parts) > 1}
    parted = bool(tops) and tops <= set(PART_FOLDERS) and all(len(relative.parts) > 2 for relative, _ in files)  # noqa: PLR2004 - part, class, file
    ids = _ids([relative for relative, _ in files])
    level = 1 if parted else 0
    return [Entry(ids[relative], path, relative.parts[level] if len(relative.parts) > level + 1 else None, PART_FOLDERS[relative.parts[0]] if parted else NO_PART) for relative, path in files]


def _ids(files: Sequence[Path]) -> dict[Path, str]:
    """Return an id for each relative path: without its extension, unless two differ in nothing else."""
    stems = [path.with_suffix("").as_posix() for path in files]
    return {path: stem if stems.count(stem) == 1 else path.as_posix() for path, stem in zip(files, stems, strict=True)} if len(set(stems)) < len(stems) else dict(zip(files, stems, strict=True))


def _truth_files(folder: Path, catalog: Sequence[Entry]) -> dict[str, Path]:
    from facelime_cli.core.images import picture_files

    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with masks; check --truth.")
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in picture_files(folder)}
    found = {entry.id: masks[entry.id] for entry in catalog if entry.id in masks}
    if not found:
        raise FacelimeError(f"no mask in {folder} has the name of a picture; a mask of a/b.jpg is a/b.png there.")
    return found


def _digest(files: Any) -> str:
    """Return the digest of a source: over sorted relative names and file bytes."""
    pairs = sorted(files)
    with ThreadPoolExecutor(cores()) as threads:
        hashes = list(threads.map(digests.of_file, [path for _, path in pairs]))
    return hashlib.sha256(digests.canonical([[name, digest] for (name, _), digest in zip(pairs, hashes, strict=True)])).hexdigest()


def _readable(catalog: Sequence[Entry], params: Params, context: Context) -> tuple[list[Entry], list[dict[str, str]]]:
    """Decode every file once; return the entries that can be used, and what is wrong with the others."""
    readable, failed = [], []
    with Workers(params.workers) as workers, context.console.progress("check", len(catalog)) as advance:
        for entry, reason in zip(catalog, workers.map(_fault, [entry.path for entry in catalog]), strict=True):
            advance(1)
            if reason is None:
                readable.append(entry)
            else:
                failed.append({"file": entry.id + ("" if entry.id.endswith(entry.path.suffix) else entry.path.suffix), "reason": reason})
    if failed:
        named = "; ".join(f"{each['file']} {each['reason']}" for each in failed[:NAMED_FAILURES]) + (f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else "")
        if params.strict or not readable:
            raise FacelimeError(f"{len(failed)} of {len(catalog)} files cannot be read: {named}. Remove or repair them" + (", or leave --strict out." if readable else "."))
        context.console.warn(f"{len(failed)} of {len(catalog)} files cannot be read and are left out: {named}.")
    return readable, failed


def _layout(found: tuple[list[Entry], list[dict[str, str]]], catalog: Sequence[Entry], parameters: Mapping[str, Any], *, with_truth: bool, context: Context) -> Layout:
    import numpy as np

    readable, failed = found
    classes = sorted({entry.label for entry in readable if entry.label is not None})
    labels = np.array([NO_LABEL if entry.label is None else classes.index(entry.label) for entry in readable], dtype=np.int16)
    groups, unmatched = _groups(readable, parameters["group_pattern"])
    split = _parts(readable, labels, groups, parameters)
    if unmatched:
        context.console.warn(f"{len(unmatched)} file names do not match the group pattern, such as {unmatched[0]}; each of them counts as a group of its own.")
    if classes and (labels == NO_LABEL).any():
        context.console.warn(f"{int((labels == NO_LABEL).sum())} pictures lie beside the class folders; they get no label and no part.")
    n, size = len(readable), int(parameters["size"])
    arrays = {"images": ArraySpec("uint8", (n, size, size, 3), ("picture", "y", "x", "channel"))}
    if with_truth:
        arrays["truth"] = ArraySpec("uint8", (n, size, size), ("picture", "y", "x"))
    counts = {name: {part: int(((labels == index) & (split == p)).sum()) for p, part in enumerate(PARTS)} for index, name in enumerate(classes)}
    _warn_of_empty_parts(counts, parameters, context)
    facts = {
        "classes": classes,
        "size": size,
        "counts": counts,
        "shares": {part: round(float((split == p).mean()), 4) for p, part in enumerate(PARTS)},
        "groups": len(set(groups)),
        "files": len(catalog),
        "unreadable": failed,
    }
    pictures = ("picture",)
    constants = {
        "id": (np.array([entry.id for entry in readable], dtype=object), pictures),
        "labels": (labels, pictures),
        "split": (split, pictures),
        "group": (np.array(groups, dtype=object), pictures),
    }
    return Layout(n, arrays, constants, facts)


def _warn_of_empty_parts(counts: Mapping[str, Mapping[str, int]], parameters: Mapping[str, Any], context: Context) -> None:
    for (part, share), name in ((pair, name) for pair in zip(PARTS, parameters["split"] or (), strict=False) for name in counts):
        if share > 0 and counts[name][part] == 0:
            context.console.warn(f"no picture of {name} came into the {part} part: there are too few pictures or groups of it.")


def _groups(entries: Sequence[Entry], pattern: str | None) -> tuple[list[str], list[str]]:
    """Return the group of every picture, and the ids whose file name has none."""
    groups, unmatched = [], []
    for entry in entries:
        match = re.search(pattern, entry.path.stem) if pattern else None
        if pattern and not match:
            unmatched.append(entry.id)
        groups.append((match[1] if match.re.groups else match[0]) if match else entry.id)
    return groups, unmatched


def _parts(entries: Sequence[Entry], labels: NDArray[np.int16], groups: Sequence[str], parameters: Mapping[str, Any]) -> NDArray[np.int8]:
    import numpy as np

    from facelime_cli.core.splits import divide

    split = np.array([entry.part for entry in entries], dtype=np.int8)
    labelled = np.flatnonzero(labels != NO_LABEL)
    if parameters["split"] is not None and len(labelled):
        split[labelled] = divide(labels[labelled].tolist(), [groups[int(i)] for i in labelled], parameters["split"], parameters["seed"])
    return split


def _fault(path: Path) -> str | None:
    from facelime_cli.core.images import UnreadableError, decode

    try:
        decode(path)
    except UnreadableError as why:
        return str(why)
    return None


def _square(task: tuple[Path, int]) -> NDArray[np.uint8]:
    from facelime_cli.core.images import decode, resize

    return resize(decode(task[0]), task[1])


def _square_mask(task: tuple[Path | None, int]) -> NDArray[np.uint8]:
    import numpy as np

    from facelime_cli.core.images import decode, resize_mask

    return np.zeros((task[1], task[1]), np.uint8) if task[0] is None else resize_mask(decode(task[0])[..., 0], task[1])


def _stack(images: Iterator[NDArray[np.uint8]], advance: Any = lambda _: None) -> NDArray[np.uint8]:
    import numpy as np

    stacked = []
    for image in images:
        stacked.append(image)
        advance(1)
    return np.stack(stacked)


STAGE = Stage(name="preprocess", writes="datasets", version=1, params=Params, plan=plan, help=__doc__)

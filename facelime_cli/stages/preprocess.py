"""Read pictures into a dataset: upright RGB at one size, with labels, patients and parts.

SOURCE is a folder with one sub-folder per class (or train, val and test folders with such sub-folders), a flat folder, a picture, or a .npz file with MedMNIST's
arrays; with --table, folders in which the pictures of its rows are found. Files are pictures or DICOM. Every operation is the same for all classes. A leakage report says what a
classifier could cheat with.
"""

from __future__ import annotations

import csv
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import sources
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.machine import cores
from facelime_cli.options import Choice, Execution, Resolved
from facelime_cli.sources import NO_SPLIT, SPLITS, Entry
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.files import read_json, write_json
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.leakage import Traits
    from facelime_cli.core.operations import Prepared
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

DEFAULT_SPLIT = "70:20:10"
NO_LABEL = -1
NAMED_FAILURES = 5
UNSAFE = re.compile(r"[/\\\x00-\x1f]|^__")
"""What the name of an array cannot hold."""
LONGEST_COLUMN = 100
CHECKED_TOGETHER = 1000
"""Files whose first look is kept together, when there are more: what a kill repeats at most."""
FITS = ("stretch", "pad", "crop")
WHITE_BALANCES = ("shades-of-gray",)
CROPS = ("face",)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `preprocess`."""

    source: Annotated[
        list[Path],
        Argument(metavar="SOURCE…", help="Folders of pictures, one picture, or a .npz file.", show_default=False),
        Resolved(()),
    ]
    size: Annotated[
        int, Option(min=16, max=4096, help="Side of the square pictures, in pixels; the network's input size.")
    ] = 299
    split: Annotated[
        str | None,
        Option(
            metavar="A:B:C",
            show_default=False,
            help=f"Shares of train, validation and test, stratified by class. [default: {DEFAULT_SPLIT}; none without labels]",
        ),
        Resolved(),
    ] = None
    folds: Annotated[
        int | None,
        Option(
            min=3,
            max=20,
            show_default=False,
            help="Divide into this many folds of equal size instead: the first is tested, the second validates, the rest is trained on.",
        ),
    ] = None
    group_pattern: Annotated[
        str | None,
        Option(
            metavar="kermany|REGEX",
            show_default=False,
            help="Patient in the file name (the first group of the expression); no patient comes into two parts. [default: every picture alone]",
        ),
        Resolved(),
    ] = None
    label_pattern: Annotated[
        str | None,
        Option(
            metavar="kermany|REGEX",
            show_default=False,
            help="Class in the file name, instead of the folder: the named group that matches, else the first group. kermany: normal, bacteria, virus.",
        ),
        Resolved(()),
    ] = None
    table: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="CSV table with a row per picture; the sources are where its pictures lie.",
        ),
        Resolved(()),
    ] = None
    id_column: Annotated[
        str, Option(metavar="NAME", help="Column of the picture's id: its file name without extension."), Resolved(())
    ] = "image_id"
    label_column: Annotated[
        str | None, Option(metavar="NAME", show_default=False, help="Column of the class."), Resolved(())
    ] = None
    group_column: Annotated[
        str | None, Option(metavar="NAME", show_default=False, help="Column of the patient or lesion."), Resolved(())
    ] = None
    one_per_group: Annotated[
        bool, Option("--one-per-group", help="Keep only the first picture of each group."), Resolved(())
    ] = False
    class_names: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="CSV table of two columns, a class as the source has it and its long name.",
        ),
        Resolved(()),
    ] = None
    fit: Annotated[
        str,
        Choice(FITS),
        Option(help="How a picture becomes a square: stretched, padded with black, or its middle cropped."),
    ] = "stretch"
    crop: Annotated[
        str | None,
        Choice(CROPS),
        Option(
            show_default=False, help="Crop to the face first; where none is found the whole picture is kept, and said."
        ),
    ] = None
    crop_border: Annotated[
        float,
        Option(min=0.0, max=45.0, help="Percent cut away on each side first, such as markers at the edge of an X-ray."),
    ] = 0.0
    white_balance: Annotated[
        str | None,
        Choice(WHITE_BALANCES),
        Option(show_default=False, help="Take the colour of the light out (dermoscopy)."),
    ] = None
    equalize: Annotated[bool, Option("--equalize", help="Equalise contrast locally (CLAHE).")] = False
    contrast: Annotated[float, Option(min=0.0, max=10.0, help="Factor of contrast around the middle grey.")] = 1.0
    seed: Annotated[int, Option(min=0, help="Seed of the division into parts."), Resolved()] = 0
    truth: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="Folder of masks, same relative names as the pictures: what an explanation should mark. The report then says how much it does.",
        ),
        Resolved(),
    ] = None
    strict: Annotated[
        bool,
        Option("--strict", help="Fail on a file that cannot be read, instead of naming and leaving it out."),
        Execution(),
    ] = False
    workers: Annotated[
        int | None, Option(min=1, show_default=False, help="Parallel processes. [default: one per core]"), Execution()
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the source's names and bytes; decode nothing yet."""
    del inputs
    catalog = _catalog(params, context)
    parameters = _parameters(params, catalog)
    entries = {entry.id: entry for entry in catalog}
    truths = {} if params.truth is None else _truth_files(params.truth, catalog)
    digested = {"source": _source_digest(catalog)}
    if params.truth is not None:
        digested["truth"] = _digest(truths.items())

    def prepare() -> Layout:
        _check_truth(truths, params, context)
        return _layout(_readable(catalog, digested["source"], params, context), catalog, parameters, params, context)

    def work(artifact: Artifact, units: Pending) -> None:
        context.store.clear("datasets", digested["source"])
        ids = artifact.texts("id")
        arrays: dict[str, NDArray[np.uint8]] = {}
        with Workers(params.workers) as workers, context.console.progress("preprocess", units.pictures) as advance:
            for unit in units:
                chosen = [entries[each] for each in ids[unit.rows]]
                tasks = [(sources.pixels(entry, arrays), parameters) for entry in chosen]
                prepared = _counted(workers.map(_prepare, tasks), advance)
                parts = {"images": _stack(each.image for each in prepared)}
                if params.truth is not None:
                    parts["truth"] = _stack(
                        workers.map(
                            _prepare_truth,
                            [
                                (truths.get(entry.id), each.box, parameters)
                                for entry, each in zip(chosen, prepared, strict=True)
                            ],
                        )
                    )
                unit.finish(
                    parts,
                    facts={
                        "faces_not_found": [
                            entry.id
                            for entry, each in zip(chosen, prepared, strict=True)
                            if params.crop and not each.face_found
                        ]
                    },
                )

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        lost = [each for facts in artifact.facts_of_units() for each in facts["faces_not_found"]]
        if lost:
            context.console.warn(
                f"no face was found in {len(lost)} of {artifact.n} pictures, such as {lost[0]}; these were kept whole."
            )
        return {"faces_not_found": lost}, []

    return Plan(
        params=params,
        resolved={name: parameters[name] for name in ("split", "group_pattern", "seed", "truth")},
        name=params.source[0].resolve().stem,
        prepare=prepare,
        work=work,
        sources=digested,
        finish=finish,
    )


def _catalog(params: Params, context: Context) -> list[Entry]:
    """Return the source's entries with what the options say of labels and groups."""
    if params.table is None and (params.label_column or params.group_column or params.one_per_group):
        raise CommandLineError(
            "--label-column, --group-column and --one-per-group are about a table; give it with --table FILE."
        )
    if params.one_per_group and params.group_column is None:
        raise CommandLineError("--one-per-group needs to know the groups; name their column with --group-column.")
    table = (
        None
        if params.table is None
        else sources.Table(
            params.table, params.id_column, params.label_column, params.group_column, params.one_per_group
        )
    )
    entries = sources.find(params.source, table)
    pattern = _expression("--label-pattern", params.label_pattern, _label_patterns())
    names = {} if params.class_names is None else _class_names(params.class_names)
    labels = [sources.label_of(entry, pattern) for entry in entries]
    unknown = [entry.file for entry, label in zip(entries, labels, strict=True) if label is None]
    if pattern is not None and len(unknown) == len(entries):
        raise FacelimeError(
            f"--label-pattern {params.label_pattern!r} finds a class in none of the {len(entries)} file names, such as {unknown[0]}; change it."
        )
    return [
        replace(
            entry,
            label=None if label is None else names.get(label, label),
            group=entry.group or _patient(entry, context),
        )
        for entry, label in zip(entries, labels, strict=True)
    ]


def _patient(entry: Entry, context: Context) -> str | None:
    """Return a salted hash of the patient in a DICOM file; the number itself enters nothing."""
    from facelime_cli.core.images import patient_of

    patient = patient_of(entry.path)
    return None if patient is None else hashlib.sha256(context.store.salt() + patient.encode()).hexdigest()[:16]


def _class_names(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise NotFoundError(
            f"there is no file {path}; give a CSV table of two columns, class and long name, to --class-names."
        )
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.reader(lines) if row]
    if any(len(row) != 2 or not all(cell.strip() for cell in row) for row in rows):  # noqa: PLR2004 - class and name
        raise FacelimeError(
            f"{path} should have two columns in every row, a class and its long name; quote names that hold a comma."
        )
    return {key.strip(): name.strip() for key, name in rows}


def _parameters(params: Params, catalog: Sequence[Entry]) -> dict[str, Any]:
    labelled = any(entry.label is not None for entry in catalog)
    fixed_parts = any(entry.part != NO_SPLIT for entry in catalog)
    for option, value in (("--split", params.split), ("--folds", params.folds)):
        if value is not None and (fixed_parts or not labelled):
            why = (
                "already is divided into train, val and test"
                if fixed_parts
                else "has no labels (no class folders, no --label-column), so there is nothing to divide"
            )
            raise FacelimeError(f"{option} {value} does not fit {params.source[0]}, which {why}; leave {option} out.")
    if params.split is not None and params.folds is not None:
        raise CommandLineError("--split and --folds are two ways to divide; give one of them.")
    divides = labelled and not fixed_parts
    return {
        "size": params.size,
        "split": _shares(params.split or DEFAULT_SPLIT) if divides and params.folds is None else None,
        "folds": params.folds,
        "group_pattern": _expression("--group-pattern", params.group_pattern, _group_patterns()),
        "fit": params.fit,
        "crop": params.crop,
        "crop_border": params.crop_border,
        "white_balance": params.white_balance,
        "equalize": params.equalize,
        "contrast": params.contrast,
        "seed": params.seed if divides else None,
        "truth": params.truth is not None,
    }


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(":")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise CommandLineError(
            f"--split {text!r} should be three shares such as {DEFAULT_SPLIT}: train, validation, test."
        )
    return [round(share / sum(shares), 9) for share in shares]


def _group_patterns() -> Mapping[str, str]:
    from facelime_cli.core.splits import GROUP_PATTERNS

    return GROUP_PATTERNS


def _label_patterns() -> Mapping[str, str]:
    from facelime_cli.core.splits import LABEL_PATTERNS

    return LABEL_PATTERNS


def _expression(option: str, pattern: str | None, named: Mapping[str, str]) -> str | None:
    if pattern is None:
        return None
    expression = named.get(pattern, pattern)
    try:
        re.compile(expression)
    except re.error as why:
        raise CommandLineError(
            f"{option} {pattern!r} is no regular expression ({why}); use one, or one of {', '.join(named)}."
        ) from why
    return expression


def _truth_files(folder: Path, catalog: Sequence[Entry]) -> dict[str, Path]:
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder} with masks; check --truth.")
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sources.picture_files(folder)}
    found = {entry.id: masks[entry.id] for entry in catalog if entry.id in masks}
    if not found:
        raise FacelimeError(f"no mask in {folder} has the name of a picture; a mask of a/b.jpg is a/b.png there.")
    return found


def _check_truth(truths: Mapping[str, Path], params: Params, context: Context) -> None:
    """Decode every mask once, so that a broken one is named before anything is written."""
    with (
        Workers(params.workers) as workers,
        context.console.progress("check masks", len(truths), unit="masks") as advance,
    ):
        for path, fault in zip(truths.values(), workers.map(_mask_fault, list(truths.values())), strict=True):
            advance(1)
            if fault is not None:
                raise FacelimeError(f"the mask {path} {fault}; replace it, or take it out of the folder.")


def _mask_fault(path: Path) -> str | None:
    from facelime_cli.core.images import UnreadableError, decode_mask

    try:
        decode_mask(path)
    except UnreadableError as why:
        return str(why)
    return None


def _source_digest(catalog: Sequence[Entry]) -> str:
    """Return the digest of a source: over names, bytes, and what it says of class, group, part and further columns."""
    said = sorted([entry.id, entry.label, entry.group, entry.part, dict(entry.columns)] for entry in catalog)
    files = {entry.id.partition("/")[0] if entry.index is not None else entry.id: entry.path for entry in catalog}
    return digests.of_value([_digest(files.items()), said])


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    """Return the digest of files: over sorted names and bytes."""
    pairs = sorted(files)
    with ThreadPoolExecutor(cores()) as threads:
        hashes = list(threads.map(_file_digest, [path for _, path in pairs]))
    return digests.of_value([[name, digest] for (name, _), digest in zip(pairs, hashes, strict=True)])


def _file_digest(path: Path) -> str:
    """Return a file's digest; a file that cannot be opened (a dangling link) is named later, with those that cannot be decoded."""
    try:
        return digests.of_file(path)
    except OSError:
        return "unreadable"


@dataclass(frozen=True)
class _Found:
    """What a first look at every file gave: the entries that can be used, what was measured of them, and what is wrong with the others."""

    entries: list[Entry]
    traits: list[Traits]
    failed: list[dict[str, str]]

    def add(self, entry: Entry, measured: Traits | str) -> None:
        """Take over one file's measures, or why it cannot be read."""
        if isinstance(measured, str):
            self.failed.append({"file": entry.file, "reason": measured})
        else:
            self.entries.append(entry)
            self.traits.append(measured)


def _readable(catalog: Sequence[Entry], key: str, params: Params, context: Context) -> _Found:
    """Decode and measure every file once."""
    found = _Found([], [], [])
    blocks = [catalog[start : start + CHECKED_TOGETHER] for start in range(0, len(catalog), CHECKED_TOGETHER)]
    arrays: dict[str, NDArray[np.uint8]] = {}
    with Workers(params.workers) as workers, context.console.progress("check", len(catalog)) as advance:
        for place, block in enumerate(blocks):
            kept = context.store.scratch("datasets", key) / f"{place:06d}.json" if len(blocks) > 1 else None
            for entry, measured in zip(block, _measured(block, kept, arrays, workers, advance), strict=True):
                found.add(entry, measured)
    if found.failed:
        _say_failed(found, len(catalog), params, context)
    return found


def _measured(
    block: Sequence[Entry],
    kept: Path | None,
    arrays: dict[str, NDArray[np.uint8]],
    workers: Workers,
    advance: Callable[[int], None],
) -> list[Traits | str]:
    """Return what is measured of some files, or why one cannot be read; `kept` is the file that a kill leaves it in."""
    from facelime_cli.core.leakage import Traits

    if kept is not None and kept.exists():
        advance(len(block))
        return [each if isinstance(each, str) else Traits.from_json(each) for each in read_json(kept)["measured"]]
    tasks = [(sources.pixels(entry, arrays), entry.path.suffix.lower()) for entry in block]
    measured: list[Traits | str] = _counted(workers.map(_measure, tasks), advance)
    if kept is not None:
        write_json(kept, {"measured": [each if isinstance(each, str) else each.json() for each in measured]})
    return measured


def _say_failed(found: _Found, total: int, params: Params, context: Context) -> None:
    failed = found.failed
    named = "; ".join(f"{each['file']} {each['reason']}" for each in failed[:NAMED_FAILURES]) + (
        f"; and {len(failed) - NAMED_FAILURES} more" if len(failed) > NAMED_FAILURES else ""
    )
    if params.strict or not found.entries:
        raise FacelimeError(
            f"{len(failed)} of {total} files cannot be read: {named}. Remove or repair them"
            + (", or leave --strict out." if found.entries else ".")
        )
    context.console.warn(f"{len(failed)} of {total} files cannot be read and are left out: {named}.")


def _layout(
    found: _Found, catalog: Sequence[Entry], parameters: Mapping[str, Any], params: Params, context: Context
) -> Layout:
    import numpy as np

    from facelime_cli.core import leakage

    entries, console = found.entries, context.console
    classes = sorted({entry.label for entry in entries if entry.label is not None})
    labels = np.array(
        [NO_LABEL if entry.label is None else classes.index(entry.label) for entry in entries], dtype=np.int16
    )
    groups, unmatched = _groups(entries, parameters["group_pattern"])
    split, fold = _parts(entries, labels, groups, parameters)
    if unmatched:
        console.warn(
            f"{len(unmatched)} file names do not match the group pattern, such as {unmatched[0]}; each of them counts as a group of its own."
        )
    if classes and (labels == NO_LABEL).any():
        console.warn(
            f"{int((labels == NO_LABEL).sum())} pictures have no class (they lie beside the class folders, or the table leaves it out); they get no label and no part."
        )
    n, size = len(entries), int(parameters["size"])
    arrays = {"images": ArraySpec("uint8", (n, size, size, 3), ("picture", "y", "x", "channel"))}
    if params.truth is not None:
        arrays["truth"] = ArraySpec("uint8", (n, size, size), ("picture", "y", "x"))
    counts = {
        name: {part: int(((labels == index) & (split == p)).sum()) for p, part in enumerate(SPLITS)}
        for index, name in enumerate(classes)
    }
    _warn_of_empty_parts(counts, parameters, context)
    leaks = leakage.report(
        [entry.id for entry in entries], found.traits, labels, split if fold is None else fold, groups
    )
    for sentence in leaks["sentences"]:
        console.warn(f"leakage: {sentence}")
    facts = {
        "classes": classes,
        "size": size,
        "counts": counts,
        "shares": {part: round(float((split == p).mean()), 4) for p, part in enumerate(SPLITS)},
        "groups": len(set(groups)),
        "files": len(catalog),
        "unreadable": found.failed,
        "leakage": leaks,
        "columns": list(_columns(entries)),
    }
    console.note(_summary(facts, n))
    constants = {
        "id": _texts([entry.id for entry in entries]),
        "labels": labels,
        "split": split,
        "group": _texts(groups),
        **({} if fold is None else {"fold": fold}),
        **_table(entries),
    }
    return Layout(n, arrays, {name: (values, ("picture",)) for name, values in constants.items()}, facts)


def _summary(facts: Mapping[str, Any], n: int) -> str:
    """Return a dataset's counts in one line."""
    classes = ", ".join(
        f"{name} {' / '.join(str(count) for count in parts.values())}" for name, parts in facts["counts"].items()
    )
    return f"{n} pictures in {facts['groups']} groups" + (f"; {' / '.join(SPLITS)}: {classes}" if classes else "")


def _texts(values: Iterable[str]) -> NDArray[Any]:
    import numpy as np

    return np.array(list(values), dtype=object)


def _columns(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the further columns of the source's table by the name of their array: without what cannot be in one, each its own."""
    found: dict[str, str] = {}
    for column in sorted({column for entry in entries for column in entry.columns}):
        stem = name = UNSAFE.sub("_", column).strip("._ ")[:LONGEST_COLUMN] or "unnamed"
        number = 1
        while name.lower() in {each.lower() for each in found} or name == "zarr.json":
            number += 1
            name = f"{stem}_{number}"
        found[name] = column
    return found


def _table(entries: Sequence[Entry]) -> dict[str, NDArray[Any]]:
    """Return the further columns of the source's table: numbers where every value is one (NaN where it is empty), else text."""
    import numpy as np

    found = {}
    for name, column in _columns(entries).items():
        values = [entry.columns.get(column, "") for entry in entries]
        try:
            numbers = [float(value) if value else float("nan") for value in values]
        except ValueError:
            found[f"table/{name}"] = _texts(values)
            continue
        found[f"table/{name}"] = _texts(values) if np.isnan(numbers).all() else np.array(numbers)
    return found


def _warn_of_empty_parts(
    counts: Mapping[str, Mapping[str, int]], parameters: Mapping[str, Any], context: Context
) -> None:
    used = (
        [share > 0 for share in parameters["split"]]
        if parameters["split"]
        else [any(each[part] for each in counts.values()) for part in SPLITS]
    )
    for part, name in ((part, name) for part, is_used in zip(SPLITS, used, strict=True) if is_used for name in counts):
        if counts[name][part] == 0:
            context.console.warn(
                f"no picture of {name} came into the {part} part: there are too few pictures or groups of it."
            )


def _groups(entries: Sequence[Entry], pattern: str | None) -> tuple[list[str], list[str]]:
    """Return the group of every picture, and the ids of those whose file name should have one but does not."""
    found = [sources.group_of(entry, pattern) for entry in entries]
    unmatched = [entry.id for entry, group in zip(entries, found, strict=True) if group is None and pattern is not None]
    return [entry.id if group is None else group for entry, group in zip(entries, found, strict=True)], unmatched


def _parts(
    entries: Sequence[Entry], labels: NDArray[np.int16], groups: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[NDArray[np.int8], NDArray[np.int8] | None]:
    """Return the part of every picture, and its fold when there are folds: then fold 0 is tested, fold 1 validates, the rest is trained on."""
    import numpy as np

    from facelime_cli.core.splits import divide, part_of_folds

    split = np.array([entry.part for entry in entries], dtype=np.int8)
    labelled = np.flatnonzero(labels != NO_LABEL)
    shares = parameters["split"] if parameters["folds"] is None else [1.0] * parameters["folds"]
    if shares is None or not len(labelled):
        return split, None
    dealt = divide(labels[labelled].tolist(), [groups[int(i)] for i in labelled], shares, parameters["seed"])
    if parameters["folds"] is None:
        split[labelled] = dealt
        return split, None
    fold = np.full(len(entries), NO_SPLIT, np.int8)
    fold[labelled] = dealt
    return part_of_folds(fold, 0, parameters["folds"]), fold


def _operations(parameters: Mapping[str, Any]) -> Any:
    from facelime_cli.core.operations import Operations

    return Operations(
        size=int(parameters["size"]),
        fit=parameters["fit"],
        crop_border=parameters["crop_border"],
        crop_face=parameters["crop"] is not None,
        white_balance=parameters["white_balance"] is not None,
        equalize=parameters["equalize"],
        contrast=parameters["contrast"],
    )


def _decoded(pixels: Path | NDArray[np.uint8]) -> NDArray[np.uint8]:
    from facelime_cli.core import images

    return images.decode(pixels) if isinstance(pixels, Path) else images.display(pixels)


def _measure(task: tuple[Path | NDArray[np.uint8], str]) -> Traits | str:
    from facelime_cli.core.images import UnreadableError
    from facelime_cli.core.leakage import traits

    try:
        return traits(_decoded(task[0]), task[1])
    except UnreadableError as why:
        return str(why)


def _prepare(task: tuple[Path | NDArray[np.uint8], Mapping[str, Any]]) -> Prepared:
    from facelime_cli.core.operations import prepare

    return prepare(_decoded(task[0]), _operations(task[1]))


def _prepare_truth(task: tuple[Path | None, Any, Mapping[str, Any]]) -> NDArray[np.uint8]:
    import numpy as np

    from facelime_cli.core import images
    from facelime_cli.core.operations import prepare_mask

    path, box, parameters = task
    size = int(parameters["size"])
    return (
        np.zeros((size, size), np.uint8)
        if path is None
        else prepare_mask(images.decode_mask(path), box, _operations(parameters))
    )


def _counted(results: Iterator[Any], advance: Any) -> list[Any]:
    gathered = []
    for each in results:
        gathered.append(each)
        advance(1)
    return gathered


def _stack(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import numpy as np

    return np.stack(list(images))


STAGE = Stage(name="preprocess", writes="datasets", version=2, params=Params, plan=plan, help=__doc__)

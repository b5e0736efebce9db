"""Read pictures into a dataset: upright RGB at one size, with labels, patients and splits.

SOURCE is a folder with one sub-folder per class (or train, val and test folders with such sub-folders), a flat folder,
a picture, or a .npz file with MedMNIST's arrays. With --table it is the folders in which the pictures of the rows lie.
Files are pictures or DICOM. Every operation is the same for all classes. A leakage report says what a classifier could
cheat with. The ids of pictures are the names of their files, without extension; --pseudonyms hides these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import sources
from facelime_cli.core import shapes
from facelime_cli.engine import Plan, Stage
from facelime_cli.options import MOST_WORKERS, Choice, Execution, Heading, Resolved, hints, marker
from facelime_cli.preparing import cataloguing, laying_out, looking, pictures, reading, truth_masks
from facelime_cli.preparing.findings import BLANK_AS, NO_FINDING, ROWS, SEPARATOR, UNCERTAIN_AS
from facelime_cli.preparing.listing import MISSING_AS
from facelime_cli.preparing.settings import DEFAULT_SPLIT, read_otherwise, settings_of
from facelime_cli.pseudonyms import KEY_VARIABLE, PARAMETER, Pseudonyms
from facelime_cli.store import digests
from facelime_cli.store.pictures import ORIGINALS
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.operations import Prepared
    from facelime_cli.engine import Context, Pending
    from facelime_cli.preparing.account import Account
    from facelime_cli.sources import Entry
    from facelime_cli.store.arrays import Layout
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

FITS = ("stretch", "pad", "crop")
WHITE_BALANCES = ("shades-of-gray",)
CROPS = ("face",)
TABLES, LABELS, PUBLISHED = Heading("Tables"), Heading("Labels"), Heading("Published splits")
MOST_FRAMES = 1_000_000
KEEP_UIDS = "keep_dicom_uids"
"""The parameter of a dataset that keeps them; others have none of this name."""
NEUTRAL_NAME = "pictures"
"""Name of a dataset whose folder's name must not be kept."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `preprocess`."""

    source: Annotated[
        list[Path],
        Argument(metavar="SOURCE…", help="Folders of pictures, one picture, or a .npz file.", show_default=False),
        Resolved(()),
    ]
    size: Annotated[
        str,
        Option(
            metavar="SIDE|HxW",
            help="Make pictures of this size in pixels, 16 to 4096 a side: the network's input size. 224 is a square, "
            "75x100 has 75 rows of 100 pixels.",
        ),
        Resolved(),
    ] = "299"
    split: Annotated[
        str | None,
        Option(
            metavar="A:B:C",
            show_default=False,
            help="Divide into train, validation and test by these shares, stratified by class. "
            f"[default: {DEFAULT_SPLIT}; none without labels]",
        ),
        Resolved(),
    ] = None
    folds: Annotated[
        int | None,
        Option(
            min=3,
            max=20,
            show_default=False,
            help="Divide into this many folds of equal size instead. The first is tested, the second validates, the "
            "others are trained on.",
        ),
    ] = None
    group_pattern: Annotated[
        str | None,
        Option(
            metavar="kermany|REGEX",
            show_default=False,
            help="Read the group (patient or lesion) from the file name, or from an id with folders in a table: the "
            "first bracket of the expression. No group comes into two splits. [default: every picture is a group of "
            "its own]",
        ),
        Resolved(),
    ] = None
    label_pattern: Annotated[
        str | None,
        Option(
            metavar="kermany|REGEX",
            show_default=False,
            help="Read the class from the file name instead of the folder: the named bracket that matches, else the "
            "first bracket. kermany: normal, bacteria, virus, and the patient as with --group-pattern kermany.",
        ),
        Resolved(()),
    ] = None
    subtype_pattern: Annotated[
        str | None,
        Option(
            metavar="kermany|REGEX",
            show_default=False,
            help="Read a second label from the file name into the table's column subtype, and leave the class as it "
            "is; `finetune --labels class,subtype` learns both. The names are those of --label-pattern.",
        ),
        Resolved(()),
    ] = None
    table: Annotated[
        list[Path] | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="Read classes, findings and groups from this table of pictures, which lie in SOURCE. Delimiter and "
            "encoding are recognised; .csv.gz is read too. Give it again for a second table, such as valid.csv.",
        ),
        Resolved(()),
        TABLES,
    ] = None
    id_column: Annotated[
        str,
        Option(
            metavar="NAME",
            help="Take the picture's id from this column: its file name, or the end of its path, with or without "
            "suffix.",
        ),
        Resolved(()),
        TABLES,
    ] = "image_id"
    join: Annotated[
        list[Path] | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="Add the columns of this table. Its rows are found by the columns that both have, such as study_id.",
        ),
        Resolved(()),
        TABLES,
    ] = None
    group_column: Annotated[
        str | None,
        Option(metavar="NAME", show_default=False, help="Take the group (patient or lesion) from this column."),
        Resolved(()),
        TABLES,
    ] = None
    one_per_group: Annotated[
        bool, Option("--one-per-group", help="Keep only the first picture of each group."), Resolved(()), TABLES
    ] = False
    columns: Annotated[
        str | None,
        Option(
            metavar="NAME,…",
            show_default=False,
            help="Keep only these further columns of the table. [default: all, with --pseudonyms none]",
        ),
        Resolved(()),
        TABLES,
    ] = None
    rows: Annotated[
        str | None,
        Choice(ROWS),
        Option(
            show_default=False,
            help="Join several rows of one picture: any keeps every finding that a row names, majority those that more "
            "than half of the readers name, first takes the first row. [default: rows that differ are an error]",
        ),
        Resolved(()),
        TABLES,
    ] = None
    reader_column: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="With --rows majority, count each reader of this column once. [default: each row is a reader]",
        ),
        Resolved(()),
        TABLES,
    ] = None
    missing_pictures: Annotated[
        str,
        Choice(MISSING_AS),
        Option(help="Treat rows without a picture so: stop, or leave them out and say how many."),
        Resolved(()),
        TABLES,
    ] = MISSING_AS[0]
    label_column: Annotated[
        str | None,
        Option(metavar="NAME", show_default=False, help="Take the class or the findings from this column."),
        Resolved(()),
        LABELS,
    ] = None
    label_separator: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            show_default=False,
            help="Divide the cells of --label-column here into several findings; none: a cell is one class. "
            f"[default: {SEPARATOR} where a cell has it, else none]",
        ),
        Resolved(()),
        LABELS,
    ] = None
    no_finding: Annotated[
        str,
        Option(
            metavar="NAME",
            help="Where pictures have several findings, take this name in --label-column for none of them.",
        ),
        Resolved(()),
        LABELS,
    ] = NO_FINDING
    label_columns: Annotated[
        str | None,
        Option(
            metavar="NAME,…",
            show_default=False,
            help="Take findings from these columns of 1, 0, -1 (uncertain) or blank; A..B means all from A to B. One 1 "
            "in every row makes classes. A single column X makes the classes no X and X.",
        ),
        Resolved(()),
        LABELS,
    ] = None
    uncertain: Annotated[
        str,
        Choice(UNCERTAIN_AS),
        Option(help="Count -1 in --label-columns as this, or drop the pictures that have one."),
        Resolved(()),
        LABELS,
    ] = UNCERTAIN_AS[0]
    blank: Annotated[
        str,
        Choice(BLANK_AS),
        Option(help="Count an empty cell in --label-columns as this. Papers on CheXpert often take negative."),
        Resolved(()),
        LABELS,
    ] = BLANK_AS[0]
    class_names: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="Rename classes and findings by this file: a table of two columns, a name as the source has it, and "
            "its long name; or a list for classes that are numbers from 0, as text of one name per line, or as JSON "
            "of ImageNet or of Keras (class_indices, imagenet_class_index).",
        ),
        Resolved(()),
        LABELS,
    ] = None
    split_column: Annotated[
        str | None,
        Option(
            metavar="NAME",
            show_default=False,
            help="Take a published split from this column: train, val, valid, validate, validation or test; a blank is "
            "none.",
        ),
        Resolved(()),
        PUBLISHED,
    ] = None
    split_file: Annotated[
        list[str] | None,
        Option(
            metavar="[SPLIT=]FILE",
            show_default=False,
            help="Take a published split from this file: test=FILE is a list of ids, or a table that has --id-column; "
            "FILE alone is a table that has --split-column, too (by default the column split). Give it again for "
            "another split. What is in no list is divided among the splits without a list.",
        ),
        Resolved(()),
        PUBLISHED,
    ] = None
    frame: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_FRAMES,
            show_default=False,
            help="Read this frame of files that hold several, counted from 1. [default: such files are left out]",
        ),
        Resolved(),
    ] = None
    bits: Annotated[
        int | None,
        Option(
            min=1,
            max=16,
            show_default=False,
            help="Take the largest value of this many bits as white, in PNG, TIFF and other files with 16 bits per "
            "value. Cameras and scanners often use 12 of them. [default: all bits of the file]",
        ),
        Resolved(),
    ] = None
    fit: Annotated[
        str,
        Choice(FITS),
        Option(
            help="Bring pictures to this size so: stretch them, or pad them with black or crop their middle to its "
            "aspect ratio first."
        ),
    ] = FITS[0]
    crop: Annotated[
        str | None,
        Choice(CROPS),
        Option(
            show_default=False,
            help="Crop to the face first. Where none is found, the whole picture is kept, with a warning.",
        ),
    ] = None
    crop_border: Annotated[
        float,
        Option(
            min=0.0, max=45.0, help="Cut this percentage away on each side first, such as markers at an X-ray's edge."
        ),
    ] = 0.0
    white_balance: Annotated[
        str | None,
        Choice(WHITE_BALANCES),
        Option(show_default=False, help="Take the colour of the light out (dermoscopy)."),
    ] = None
    equalize: Annotated[bool, Option("--equalize", help="Equalise contrast locally (CLAHE).")] = False
    contrast: Annotated[
        float, Option(min=0.0, max=10.0, help="Multiply the contrast around the middle grey by this factor.")
    ] = 1.0
    seed: Annotated[int, Option(min=0, help="Divide into splits by this seed."), Resolved()] = 0
    truth: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="Read pictures of the true region from this folder, under the pictures' relative names. The report "
            "then says how much of an explanation lies there.",
        ),
        Resolved(),
    ] = None
    pseudonyms: Annotated[
        bool,
        Option(
            "--pseudonyms",
            help="Give pictures and groups random-looking ids in place of names; the names of classes stay. The same "
            "file name gets the same id, by a key that is made once in ~/.local/state/facelime/pseudonyms.key. "
            f"{KEY_VARIABLE} names another key file. Keep the key: `facelime pseudonyms` finds a name back with it.",
        ),
        Resolved(),
    ] = False
    keep_dicom_uids: Annotated[
        bool,
        Option(
            "--keep-dicom-uids",
            help="Keep the UIDs of DICOM files (study, series, instance, SOP class), so that `export --format dicom` "
            "can refer to them. Whoever can ask the archive finds picture and patient by them.",
        ),
        Resolved(),
    ] = False
    strict: Annotated[
        bool,
        Option("--strict", help="Fail on a file that cannot be read, instead of naming it and leaving it out."),
        Execution(),
    ] = False
    workers: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_WORKERS,
            show_default=False,
            help="Run so many processes in parallel. [default: one per core]",
        ),
        Execution(),
    ] = None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Read the source's names and bytes; decode nothing yet.

    Parameters
    ----------
    params : Params
    inputs : mapping
        Empty: a dataset is the first stage.
    context : Context

    Returns
    -------
    Plan
    """
    del inputs
    # A wrong size is refused before a large folder is walked.
    shapes.parsed(params.size)
    given, params = params, cataloguing.with_patients(params)
    pattern = params.group_pattern
    pseudonyms = Pseudonyms(context.console.warn) if params.pseudonyms else None
    catalog, account = cataloguing.catalogue(params, context, pseudonyms)
    settings = settings_of(params, catalog)
    truths = {} if params.truth is None else truth_masks.truth_files(params.truth, catalog)
    resolved = {name: settings[name] for name in ("size", "split", "group_pattern", "seed", "truth")}
    # These, too, are left out where they are not given.
    otherwise = read_otherwise(params)
    resolved |= otherwise
    if pseudonyms is not None:
        catalog, truths = cataloguing.hidden(catalog, truths, pseudonyms, settings["group_pattern"])
        # Left out where they are not asked for: datasets made before they existed keep their parameters.
        resolved[PARAMETER] = pseudonyms.digest
    if params.keep_dicom_uids:
        resolved[KEEP_UIDS] = True
    digested = {"source": looking.source_digest(catalog)}
    # Masks of the truth are content too: with other masks the report says other things.
    if params.truth is not None:
        digested["truth"] = looking.files_digest(truths.items())
    entries = {entry.id: entry for entry in catalog}
    # What one way of reading kept of a first look says nothing of another.
    key = digests.of_value([digested["source"], otherwise]) if otherwise else digested["source"]
    by_name = "" if params is given else f"patients are read from the file names (--group-pattern {pattern})."
    job = _Job(params, settings, entries, truths, key, account, context, by_name)
    return Plan(
        params=params,
        resolved=resolved,
        # A folder is often called by a patient too.
        name=NEUTRAL_NAME if params.pseudonyms else params.source[0].resolve().stem,
        prepare=job.prepare,
        work=job.work,
        sources=digested,
        finish=job.finish,
    )


@dataclass(frozen=True)
class _Job:
    """Reading the pictures of one source."""

    params: Params
    settings: dict[str, Any]
    entries: dict[str, Entry]
    truths: Mapping[str, Path]
    key: str
    account: Account
    context: Context
    by_name: str

    def prepare(self) -> Layout:
        """Look at every file once, and return what to lay out."""
        # A plan writes nothing, so the secret that patients were hashed with is kept only now.
        self.context.store.keep_salt()
        with_truth = self.params.truth is not None
        cataloguing.say_names(self.entries.values(), self.params, self.context.console)
        self.account.say(self.context.console)
        if self.by_name:
            self.context.console.note(self.by_name)
        sizes = truth_masks.check_truth(self.truths, self.params.workers, self.context.console) if with_truth else {}
        # Labels, groups and splits are of the files that can be read alone, so all are looked at before the layout.
        catalog = list(self.entries.values())
        found = looking.checked(catalog, self.key, self.params, self.context)
        truth_masks.check_sizes(sizes, found)
        reading.check_used(found, self.params.bits)
        read = reading.facts_of(found, self.account.passed)
        self.context.console.note(read["said"])
        reading.warn(found, self.context.console)
        layout = laying_out.layout_of(
            found,
            len(catalog),
            self.settings,
            with_truth=with_truth,
            console=self.context.console,
            names=self.account.labels,
        )
        if self.params.keep_dicom_uids:
            layout = cataloguing.with_uids(found.entries, layout, self.context.console)
        # Where nothing was to decide or asked for, the facts are those of a dataset that no table made.
        told = {"table": self.account.facts, "asked": _asked(self.params)}
        facts = {**layout.facts, "read": read, **{name: value for name, value in told.items() if value}}
        return replace(layout, facts=facts)

    def work(self, artifact: Artifact, units: Pending) -> None:
        """Decode and change the pictures of every pending unit."""
        # What the first look kept has done its service: the layout is there.
        self.context.store.clear("datasets", self.key)
        ids = artifact.texts("id")
        arrays: dict[str, NDArray[np.uint8]] = {}
        progress = self.context.console.progress("preprocess", units.pictures)
        with Workers(self.params.workers) as workers, progress as advance:
            for unit in units:
                chosen = [self.entries[each] for each in ids[unit.rows]]
                tasks = [(sources.pixels(entry, arrays), self.settings) for entry in chosen]
                prepared = looking.counted(workers.map(pictures.prepare_picture, tasks), advance)
                self._finish_unit(unit, chosen, prepared, workers)

    def _finish_unit(self, unit: Unit, chosen: list[Entry], prepared: list[Prepared], workers: Workers) -> None:
        import numpy as np

        arrays = {"images": np.stack([each.image for each in prepared])}
        if self.params.truth is not None:
            tasks = []
            for entry, each in zip(chosen, prepared, strict=True):
                tasks.append((self.truths.get(entry.id), each.box, self.settings))
            masks = list(workers.map(truth_masks.prepare_truth, tasks))
            arrays["truth"] = np.stack(masks)
        # Where no face was found, the whole picture was kept: the reader must know which these are.
        lost = []
        for entry, each in zip(chosen, prepared, strict=True):
            if self.params.crop and not each.face_found:
                lost.append(entry.id)
        # Facts and no array: what a dataset holds for later stages is the same wherever its pictures came from.
        places = [[*each.original, *each.seen] for each in prepared]
        unit.finish(arrays, facts={"faces_not_found": lost, ORIGINALS: places})

    def finish(self, artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        """Name the pictures in which no face was found."""
        lost = [each for facts in artifact.facts_of_units() for each in facts["faces_not_found"]]
        if lost:
            self.context.console.warn(
                f"no face was found in {len(lost)} of {artifact.n} pictures, such as {lost[0]}; these were kept whole."
            )
        return {"faces_not_found": lost}, []


def _asked(params: Params) -> dict[str, Any]:
    """Return the options that say how classes, groups and splits are read: the source's digest alone stands for them.

    Files stand as placeholders: no path of a machine enters an artifact.
    """
    found = {}
    for name, (_, extras) in hints(Params).items():
        resolved, value = marker(extras, Resolved), getattr(params, name)
        default = Params.__dataclass_fields__[name].default
        if name == "source" or resolved is None or resolved.into != () or not value or value == default:
            continue
        found[name] = [_placeholder(name, each) for each in value] if isinstance(value, list) else value
        if isinstance(value, Path):
            found[name] = name.upper()
    return found


def _placeholder(name: str, value: Path | str) -> str:
    """Return what stands for a file, and behind its split for the file of a list: test=SPLIT_FILE."""
    split, between, _ = str(value).partition("=") if name == "split_file" else ("", "", "")
    return f"{split}{between}{name.upper()}"


def restored(dataset: Artifact) -> dict[str, Any]:
    """Return the size as it is typed, what was asked of tables, and what is kept of names and UIDs."""
    size, known = shapes.typed(dataset.parameters["size"]), hints(Params)
    # A store of somebody else may hold anything here.
    told = dataset.facts.get("asked")
    asked = {name: told[name] for name in known if name in told} if isinstance(told, dict) else {}
    kept = {"pseudonyms": PARAMETER in dataset.parameters, KEEP_UIDS: KEEP_UIDS in dataset.parameters}
    return {"size": size, **kept, **asked}


STAGE = Stage(
    name="preprocess", writes="datasets", version=3, params=Params, plan=plan, help=__doc__, restored=restored
)

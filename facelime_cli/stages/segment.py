"""Divide each picture into segments.

Regions are switched on and off in the next stages. --method chooses how they are made, --segments how many.
Named zones of a face or of the lungs can stand beside the segments, or be the segments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli import presets
from facelime_cli.choices import COMMON, SEGMENTERS, words_of
from facelime_cli.core import shapes
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import listing
from facelime_cli.options import (
    MOST_SEGMENTS,
    MOST_WORKERS,
    Choice,
    Execution,
    Input,
    Resolved,
    given_settings,
    option_of,
    owners_of,
)
from facelime_cli.predicting import choosing
from facelime_cli.predicting.choosing import Choosing
from facelime_cli.pseudonyms import made_with
from facelime_cli.sources import map_files
from facelime_cli.store import digests
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.choices import Segmenter
    from facelime_cli.core.shapes import Sides
    from facelime_cli.core.superpixels import Segmented, Statistics
    from facelime_cli.core.zones import Found
    from facelime_cli.engine import Context, Pending
    from facelime_cli.store.artifacts import Artifact

DEFAULT_METHOD = "slic"
CELLS = ("square", "hexagon")
CONNECTIVITIES = ("4", "8")
ZONES = ("face", "lungs")
"""The functions of these names are in `core.lattices` and `core.zones`."""


FAR = 0.2
"""From this share of the number asked for on, a number of segments is worth a warning."""
SHARED = ("segments", *COMMON)
"""What counts of a preset beside another --method, whose other parameters mean something else."""


SEARCHED = " and ".join(name for name, entry in SEGMENTERS.items() if entry.scale is not None)
"""The methods whose scale is searched for a number of segments."""


def _default(setting: str) -> str:
    """Return the words of a help text that give a setting's default by method; what all share stands alone."""
    usual = COMMON.get(setting)
    given = []
    for name, entry in SEGMENTERS.items():
        value = entry.settings.get(setting)
        if value is not None and value != usual:
            given.append(f"{name} {value:g}")
    words = given if usual is None else [f"{usual:g}", *given]
    return f"[default: {', '.join(words)}]"


def _setting(words: str, **bounds: Any) -> Any:
    """Return the option of a setting; its default follows from the method."""
    return Option(show_default=False, help=words, **bounds)


@dataclass(frozen=True, kw_only=True)
class Params(Choosing):
    """Parameters of `segment`."""

    dataset: Annotated[
        str,
        Argument(metavar="DATASET", help="Dataset, or - to read it from standard input.", show_default=False),
        Input(("datasets",)),
    ]
    preset: Annotated[
        str | None,
        Choice(tuple(presets.PRESETS)),
        _setting(
            "Take method and settings for one kind of picture, or those of another system. "
            f"Options that you give override them. {presets.help_of(presets.PRESETS)}."
        ),
        Resolved(()),
    ] = None
    method: Annotated[
        str | None,
        Choice(tuple(SEGMENTERS)),
        _setting(
            f"Choose how to segment. {words_of(SEGMENTERS)}. [default: that of the preset, else {DEFAULT_METHOD}]"
        ),
    ] = None
    segments: Annotated[
        int | None,
        _setting(
            f"Ask for about so many segments. {SEARCHED} search each picture's scale for it. {_default('segments')}",
            min=2,
            max=MOST_SEGMENTS,
        ),
        Resolved(),
    ] = None
    kernel_size: Annotated[
        float | None,
        _setting(
            f"Average colours over so many pixels. Larger makes fewer segments. {_default('kernel_size')}",
            min=1.0,
            max=100.0,
        ),
        Resolved(),
    ] = None
    max_dist: Annotated[
        float | None,
        _setting(
            f"Limit the step between modes. Larger makes fewer segments. {_default('max_dist')}", min=0.1, max=1e4
        ),
        Resolved(),
    ] = None
    ratio: Annotated[
        float | None,
        _setting(f"Weigh colour against place, from 0 to 1. {_default('ratio')}", min=0.0, max=1.0),
        Resolved(),
    ] = None
    scale: Annotated[
        float | None,
        _setting(
            "Set Felzenszwalb's preference for large segments, in place of --segments. [default: searched]",
            min=0.1,
            max=1e9,
        ),
        Resolved(),
    ] = None
    compactness: Annotated[
        float | None,
        _setting(
            "Weigh place against colour, or against the gradient for watershed. Larger makes squarer segments. "
            f"{_default('compactness')}",
            min=1e-6,
            max=1e6,
        ),
        Resolved(),
    ] = None
    sigma: Annotated[
        float | None,
        _setting(f"Smooth by a Gaussian of so many pixels first. {_default('sigma')}", min=0.0, max=100.0),
        Resolved(),
    ] = None
    cell: Annotated[
        str | None,
        Choice(CELLS),
        _setting(f"Choose the shape of the grid's cells. [default: {SEGMENTERS['grid'].settings['cell']}]"),
        Resolved(),
    ] = None
    min_size: Annotated[
        int | None,
        _setting(
            "Merge smaller segments into the neighbour of the most similar mean colour. " + _default("min_size"),
            min=0,
            max=4096 * 4096,
            metavar="PIXELS",
        ),
        Resolved(),
    ] = None
    connectivity: Annotated[
        str | None,
        Choice(CONNECTIVITIES),
        _setting(
            "Split disconnected pieces into separate segments, by 4 or 8 neighbours of a pixel. "
            "[default: as the method makes them]"
        ),
        Resolved(),
    ] = None
    labels: Annotated[
        Path | None,
        _setting(
            "Read label maps (.png, .tif, .npy) from this folder, for --method file. The pictures' ids name them.",
            metavar="DIR",
        ),
        Resolved(()),
    ] = None
    zones: Annotated[
        str | None,
        Choice(ZONES),
        _setting(
            "Keep these named regions beside the segments, or with --method zones as the segments. "
            "Left and right are the person's. [default: none]"
        ),
    ] = None
    workers: Annotated[
        int | None,
        _setting("Run so many processes in parallel. [default: one per core]", min=1, max=MOST_WORKERS),
        Execution(),
    ] = None


@dataclass(frozen=True)
class _Task:
    """One picture's work: its pixels, how to segment them, and which zones to keep beside the segments."""

    picture_id: str
    image: NDArray[np.uint8]
    method: str
    parameters: Mapping[str, Any]
    zones: str | None


@dataclass(frozen=True)
class _Done:
    """What became of one picture."""

    picture_id: str
    segmented: Segmented
    statistics: Statistics
    zones: Found | None


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the pictures and resolve the method's settings."""
    dataset = inputs["dataset"]
    method, settings = resolved(params)
    _check_against_pictures(settings, shapes.sides(dataset.facts["size"]))
    # The order of the pictures does not matter: the same ones are the same artifact.
    rows = sorted(choosing.chosen(params, dataset, inputs))
    every = dataset.texts("id")
    ids = [every[row] for row in rows]
    folder = settings.pop("labels", None)
    # A label map belongs to the content, wherever its folder lies: its bytes are a source, its path is none.
    label_maps = {}
    if folder is not None:
        pseudonym = made_with(dataset, context.console.warn)
        label_maps = map_files(folder, ids, "--labels", "label map", pseudonym)
    job = _Job(
        replace(params, method=method),
        settings,
        dataset,
        rows,
        ids,
        label_maps,
        choosing.facts(params, inputs),
        context,
    )
    sources = {}
    if label_maps:
        files = [[name, digests.of_file(path)] for name, path in label_maps.items()]
        sources = {"labels": digests.of_value(files)}
    return Plan(
        params=job.params,
        resolved={**settings, "pictures": digests.of_value(ids)},
        name=f"{dataset.name}-{method}",
        prepare=job.prepare,
        work=job.work,
        # What chose the pictures is none of its inputs: they are among its parameters.
        inputs={"dataset": dataset},
        sources=sources,
        finish=partial(finish, context=context),
    )


@dataclass(frozen=True)
class _Job:
    """Segmenting some pictures of a dataset."""

    params: Params
    settings: dict[str, Any]
    dataset: Artifact
    rows: list[int]
    ids: list[str]
    label_maps: Mapping[str, Path]
    selection: Mapping[str, Any]
    context: Context

    def prepare(self) -> Layout:
        """Return what to lay out; a wrong label map is named before."""
        import numpy as np

        sides = shapes.sides(self.dataset.facts["size"])
        # A wrong label map is found now, not after an hour of other pictures.
        _check_labels(self.label_maps, sides)
        constants = {
            "id": (np.array(self.ids, dtype=object), ("picture",)),
            "row": (np.array(self.rows, dtype=np.int32), ("picture",)),
        }
        n = len(self.rows)
        return Layout(n, _arrays(n, sides, self.params.zones), constants, _facts(self.selection, self.params.zones))

    def work(self, _: Artifact, units: Pending) -> None:
        """Segment every pending unit, picture by picture in parallel processes."""
        progress = self.context.console.progress("segment", units.pictures)
        with Workers(self.params.workers) as workers, progress as advance:
            for unit in units:
                tasks = self._tasks(unit.rows)
                done = []
                for each in workers.map(_segment_picture, tasks):
                    done.append(each)
                    advance(1)
                unsure = [each.picture_id for each in done if each.zones is not None and not each.zones.sure]
                unit.finish(_stacked(done), facts={"faces_not_found": unsure})

    def _tasks(self, places: slice) -> list[_Task]:
        """Return the work of a unit's pictures."""
        images = self.dataset.read("images", self.rows[places])
        return [self._task(name, image) for name, image in zip(self.ids[places], images, strict=True)]

    def _task(self, picture_id: str, image: NDArray[np.uint8]) -> _Task:
        given = {"labels": self.label_maps.get(picture_id), "zones": self.params.zones}
        method = str(self.params.method)
        needs = SEGMENTERS[method].needs
        own = {} if needs is None else {needs[0]: given[needs[0]]}
        return _Task(picture_id, image, method, {**self.settings, **own}, self.params.zones)


def restored(segments: Artifact) -> dict[str, Any]:
    """Return the options that some segments' parameters hold otherwise: which pictures, and a number as text."""
    connectivity = segments.parameters.get("connectivity")
    chosen = {"images": listing(segments.texts("id"))}
    return chosen if connectivity is None else chosen | {"connectivity": str(connectivity)}


def resolved(params: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and its settings.

    What is given counts before the preset, the preset before the defaults. Of a number of segments and a scale, one
    stays.

    Parameters
    ----------
    params : dataclass
        Those of `segment`, or of a command that has its options.

    Raises
    ------
    CommandLineError
        When options belong to another method, contradict each other, or one is missing that the method needs.
    """
    preset = {"method": DEFAULT_METHOD, **presets.options_of(params)}
    method = params.method or preset["method"]
    segmenter = SEGMENTERS[method]
    given = given_settings(params, SEGMENTERS)
    _check_options(params, segmenter, given)
    # Settings of one method mean something else to another: of a preset, only what all methods share stays.
    same_method = method == preset["method"]
    kept = {
        name: value for name, value in preset.items() if name in segmenter.settings and (same_method or name in SHARED)
    }
    values = {**segmenter.settings, **kept, **given}
    if values["connectivity"] is not None:
        values["connectivity"] = int(values["connectivity"])
    if segmenter.scale is not None:
        scale = segmenter.scale.parameter
        # Two ways to say one thing would give one picture two fingerprints.
        unused = "segments" if scale in given or values["segments"] is None else scale
        del values[unused]
    return method, values


def _check_options(params: Any, segmenter: Segmenter, given: Mapping[str, Any]) -> None:
    """Refuse options of another method, two that contradict each other, and the lack of one that the method needs."""
    method = segmenter.name
    for name in given:
        if name not in segmenter.settings:
            raise CommandLineError(
                f"{option_of(name)} belongs to {owners_of(name, SEGMENTERS)}, not to --method {method}; "
                "leave it out or change the method."
            )
    if segmenter.needs is not None:
        name, words = segmenter.needs
        if getattr(params, name) is None:
            raise CommandLineError(f"--method {method} needs {option_of(name)}: {words}.")
    scale = None if segmenter.scale is None else segmenter.scale.parameter
    if scale is not None and scale in given and "segments" in given:
        raise CommandLineError(
            f"--segments {given['segments']} and {option_of(scale)} {given[scale]:g} both decide how many segments "
            "there are; give one of them."
        )


def _check_against_pictures(settings: Mapping[str, Any], sides: Sides) -> None:
    """Refuse settings that reach beyond a picture: they make one region, or take hours to make it."""
    longest, area = max(sides), math.prod(sides)
    for name, most in {"kernel_size": longest, "sigma": longest, "min_size": area, "segments": area}.items():
        value = settings.get(name)
        if value is not None and value > most:
            raise FacelimeError(
                f"{option_of(name)} {value:g} is beyond pictures of {shapes.shown(sides)} pixels; give at most {most}."
            )


def _facts(selection: Mapping[str, Any], zones: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"selection": dict(selection)}
    if zones is not None:
        from facelime_cli.core.zones import NAMES

        facts["zones"] = list(NAMES[zones])
    return facts


def _arrays(n: int, sides: Sides, zones: str | None) -> dict[str, ArraySpec]:
    one, picture = ("picture",), ("picture", "y", "x")
    arrays = {
        "segments": ArraySpec("uint16", (n, *sides), picture),
        "n_segments": ArraySpec("int32", (n,), one),
        "scale": ArraySpec("float64", (n,), one, float("nan")),
        "size_quartiles": ArraySpec("float64", (n, 3), ("picture", "quartile"), float("nan"), "pixels"),
        "boundary_recall": ArraySpec("float64", (n,), one, float("nan")),
        "flat_share": ArraySpec("float64", (n,), one, float("nan")),
    }
    return arrays if zones is None else arrays | {"zones": ArraySpec("uint8", (n, *sides), picture)}


def _check_labels(files: Mapping[str, Path], sides: Sides) -> None:
    """Read every label map once, so that a wrong one is named before anything is written."""
    from facelime_cli.core import label_files

    for name, path in files.items():
        try:
            label_files.read(path, *sides)
        except FacelimeError as why:
            raise _about(name, why) from why


def _about(picture_id: str, why: FacelimeError) -> FacelimeError:
    return FacelimeError(f"{picture_id}: {why}, or leave the picture out with --images.")


def _segment_picture(task: _Task) -> _Done:
    from facelime_cli.core import superpixels, zones

    try:
        segmented = superpixels.segmented(task.image, task.method, task.parameters)
    except FacelimeError as why:
        raise _about(task.picture_id, why) from why
    statistics = superpixels.statistics(task.image, segmented.labels, task.method)
    found = None if task.zones is None else zones.find(task.image, task.zones)
    return _Done(task.picture_id, segmented, statistics, found)


def _stacked(done: Sequence[_Done]) -> dict[str, NDArray[Any]]:
    """Return the part of every array that a unit's pictures make."""
    import numpy as np

    parts: dict[str, NDArray[Any]] = {
        "segments": np.stack([each.segmented.labels for each in done]),
        "n_segments": np.array([int(each.segmented.labels.max()) + 1 for each in done], dtype=np.int32),
        "scale": np.array([each.segmented.scale for each in done]),
        "size_quartiles": np.stack([each.statistics.size_quartiles for each in done]),
        "boundary_recall": np.array([each.statistics.boundary_recall for each in done]),
        "flat_share": np.array([each.statistics.flat_share for each in done]),
    }
    zones = [each.zones.zones for each in done if each.zones is not None]
    return parts | {"zones": np.stack(zones)} if zones else parts


def finish(artifact: Artifact, context: Context) -> tuple[dict[str, Any], list[str]]:
    """Say and return how many segments the pictures have, and where no face was found.

    Parameters
    ----------
    artifact : Artifact
        All its units are done.
    context : Context

    Returns
    -------
    facts : dict
    made : list of str
        No file.
    """
    import numpy as np

    asked = artifact.parameters.get("segments")
    counts = artifact.read("n_segments")
    number = {"asked": asked, "median": float(np.median(counts)), "least": int(counts.min()), "most": int(counts.max())}
    context.console.note(
        f"segments per picture: median {number['median']:g}, {number['least']} to {number['most']}"
        + ("" if asked is None else f"; asked for {asked}")
    )
    # A method that cannot reach the number says so: the user would otherwise compare unequal runs.
    if asked is not None and abs(float(np.median(counts)) - asked) > FAR * asked:
        context.console.warn(
            f"--segments {asked}: the method makes a median of {number['median']:g} here, limited by the pictures' "
            "size and by its other settings (--min-size, --sigma, --compactness)."
        )
    lost = [each for facts in artifact.facts_of_units() for each in facts["faces_not_found"]]
    if lost:
        context.console.warn(
            f"no face was found in {len(lost)} of {artifact.n} pictures, such as {lost[0]}; "
            "their zones lie as if the picture had been cropped to a face."
        )
    return {"segments_per_picture": number} | ({"faces_not_found": lost} if lost else {}), []


STAGE = Stage(
    name="segment",
    writes="segments",
    version=2,
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    restored=restored,
    finish=finish,
)

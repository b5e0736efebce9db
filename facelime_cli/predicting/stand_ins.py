"""What stands in for a switched-off segment: the fill of a run, as it is typed and as it is made for each picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facelime_cli.choices import FILLS, UNLIKE, USUAL_DESIGNS, WITHOUT_CLASSES
from facelime_cli.core import shapes
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.sources import SPLITS
from facelime_cli.store import digests, files
from facelime_cli.store.pictures import Segmented, is_multilabel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.choices import Fill
    from facelime_cli.console import Console
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.workers import Workers

    Settings = dict[str, Any]

KEPT_ARRAY = "array.npy"
"""File of an array that is computed once and kept beside a dataset."""
KEPT_DONORS = 8
"""How many donors are looked for at once: more than the views of an explanation use."""
FILL_NAMES = "|".join(f"{name}:FILE" if fill.from_file else name for name, fill in FILLS.items())
"""Every fill as it is typed, for help."""


def fill_of(text: str) -> tuple[Fill, Path | None]:
    """Return a fill, and the file that it is read from.

    Parameters
    ----------
    text : str
        As it is typed: a name, or a name, a colon and a file.

    Raises
    ------
    CommandLineError
        When it does not have this form.
    NotFoundError
        When there is no such file.

    Returns
    -------
    fill : Fill
    file : Path or None
    """
    name, colon, file = text.partition(":")
    fill = FILLS.get(name)
    if fill is None or bool(colon) != fill.from_file or bool(file) != fill.from_file:
        plain = ", ".join(each.name for each in FILLS.values() if not each.from_file)
        with_file = ", ".join(f"{each.name}:FILE" for each in FILLS.values() if each.from_file)
        raise CommandLineError(f"--fill {text!r} should be one of {plain}, or {with_file} with a picture's path.")
    if not file:
        return fill, None
    path = Path(file).expanduser()
    if not path.is_file():
        raise NotFoundError(f"there is no picture {path} to fill with; give --fill {name}:FILE with a picture's path.")
    return fill, path


def usual_design(fill: str | None) -> str:
    """Return the default design of a fill.

    Parameters
    ----------
    fill : str, optional
        As it is typed; by default the default fill.

    Returns
    -------
    str
        The design's name.
    """
    if fill is None:
        return USUAL_DESIGNS[True]
    known = FILLS.get(fill.partition(":")[0])
    return USUAL_DESIGNS[known is not None and known.real]


def usual_fill(segments: Artifact) -> str:
    """Return the default fill for some segments: a real picture, where each has one of another class and patient.

    Parameters
    ----------
    segments : Artifact

    Returns
    -------
    str
        The fill's name.
    """
    from facelime_cli.core.neighbours import has_unlike

    dataset = segments.input("datasets")
    every = has_unlike(dataset.read("labels"), _groups(dataset), segments.read("row"), _pool(dataset)).all()
    return UNLIKE if every else WITHOUT_CLASSES


class Constants(Protocol):
    """What is known of the fills of a whole run, see `StandIns.constants` and `StandIns.facts`."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the fill needs of the whole dataset."""
        ...

    def read(self, name: str, rows: slice) -> NDArray[Any]:
        """Return an array's values for some pictures."""
        ...


@dataclass(frozen=True)
class StandIns:
    """The fill of one run.

    Attributes
    ----------
    fill : Fill
    segments : Artifact
    seed : int
        Of noise.
    sigma : float, optional
        Standard deviation of the blur, in pixels.
    file : Path, optional
        The picture that stands in, for fills that are read from a file.
    donor : int
        Which of the most similar pictures of another class stands in, from 1.
    """

    fill: Fill
    segments: Artifact
    seed: int
    sigma: float | None = None
    file: Path | None = None
    donor: int = 1

    @cached_property
    def _pictures(self) -> Segmented:
        """The pictures beside their segments: for all units the same, so that each small file is read once."""
        return Segmented(self.segments)

    @property
    def dataset(self) -> Artifact:
        """The dataset of the segments."""
        return self._pictures.dataset

    @cached_property
    def picture(self) -> NDArray[np.uint8] | None:
        """The picture from the file, stretched to the dataset's size, or None."""
        if self.file is None:
            return None
        from facelime_cli.core.images import UnreadableError, decode
        from facelime_cli.core.operations import Operations, prepare

        try:
            return prepare(decode(self.file), Operations(self.dataset.facts["size"])).image
        except UnreadableError as why:
            raise FacelimeError(f"--fill {self.fill.name}: {self.file} {why}; give another picture.") from why

    def constants(self, console: Console) -> dict[str, tuple[NDArray[Any], tuple[str, ...]]]:
        """Return the arrays that are known when masks are laid out: the row of each picture's stand-in, if any.

        Parameters
        ----------
        console : Console
            Is told when similar pictures are looked for, which may take long.

        Returns
        -------
        dict
            From names to arrays and their dimensions.
        """
        _ = self.picture  # a file that is no picture is named before anything is laid out
        if self.fill.name != UNLIKE:
            return {}
        return {"fill_row": (donor_rows(self.segments, self.donor, console), ("picture",))}

    def facts(self) -> dict[str, Any]:
        """Return what is known of the whole dataset: its mean colour, where the fill needs it."""
        return {"colour": _mean_colour(self.dataset)} if self.fill.needs == "colour" else {}

    def made(
        self, masks: Constants, rows: slice, workers: Workers, advance: Callable[[int], None]
    ) -> NDArray[np.uint8]:
        """Return the fills of some pictures.

        Parameters
        ----------
        masks : Constants
            An artifact that was laid out with `constants` and `facts`, or just these.
        rows : slice
            Which of its pictures.
        workers : Workers
        advance : callable
            Is called with 1 for each picture.

        Returns
        -------
        (n, H, W, 3) uint8 array
        """
        import numpy as np

        images, labels = self._pictures.images(rows), self._pictures.segments(rows)
        tasks = [
            (self.fill, image, regions, settings)
            for image, regions, settings in zip(images, labels, self._settings(masks, rows), strict=True)
        ]
        filled = []
        for each in workers.map(_fill_picture, tasks):
            filled.append(each)
            advance(1)
        return np.stack(filled)

    def _settings(self, masks: Constants, rows: slice) -> list[Settings]:
        """Return what the fill's function needs beside picture and segments, for each picture."""
        from facelime_cli.core.masks import key_of

        # The stand-in was chosen when the masks were laid out, so that every shard uses the same.
        if self.fill.name == UNLIKE:
            others = self.dataset.read("images", masks.read("fill_row", rows).tolist())
            return [{"picture": each} for each in others]
        # The key is the picture's own, so that noise does not change with the pictures beside it.
        known = {"sigma": self.sigma, "picture": self.picture, "colour": masks.facts.get("colour")}
        found = []
        for picture_id in self.segments.texts("id", rows):
            own = known | {"key": key_of(self.seed, picture_id, "fill")}
            needs = self.fill.needs
            found.append({} if needs is None else {needs: own[needs]})
        return found


def _fill_picture(task: tuple[Fill, NDArray[np.uint8], NDArray[np.uint16], Settings]) -> NDArray[np.uint8]:
    fill, image, labels, settings = task
    made: NDArray[np.uint8] = fill.load()(image, labels, **settings)
    return made


def _pool(dataset: Artifact) -> NDArray[np.int64]:
    """Return the rows of a dataset's training split, or of all its pictures when it has none."""
    import numpy as np

    # Only training pictures stand in for others, so that the test split stays unseen.
    training = dataset.read("split") == SPLITS.index("train")
    return np.flatnonzero(training) if training.any() else np.arange(dataset.n)


def _groups(dataset: Artifact) -> NDArray[np.int64]:
    """Return a number for each picture, the same for pictures of one patient."""
    import numpy as np

    names = np.array(dataset.texts("group"), dtype=str)
    return np.asarray(np.unique(names, return_inverse=True)[1])


def donor_rows(segments: Artifact, donor: int, console: Console) -> NDArray[np.int32]:
    """Return for each segmented picture the row of its donor: a similar one of another class and patient.

    Where pictures have several findings, it is one without those of the picture.

    Parameters
    ----------
    segments : Artifact
    donor : int
        Which of them, from 1, the most similar first. Each is of another patient.
    console : Console

    Returns
    -------
    (N,) int32 array
        Rows of the dataset.

    Raises
    ------
    FacelimeError
        When a picture has not so many.
    """
    import numpy as np

    found = _donors(segments, max(donor, KEPT_DONORS), console)[:, donor - 1]
    lost = np.flatnonzero(found < 0)
    if len(lost):
        picture_id = segments.texts("id")[int(lost[0])]
        unlike = _unlike(segments.input("datasets"))
        if donor > 1:
            raise FacelimeError(
                f"{picture_id}: --donor {donor} needs {donor} pictures {unlike} and of different patients, and "
                "there are fewer; choose a smaller --donor."
            )
        raise FacelimeError(
            f"{picture_id}: --fill {UNLIKE} needs a picture {unlike} and another patient, and there is none; "
            f"give another --fill, such as {WITHOUT_CLASSES}."
        )
    return found.astype(np.int32)


def most_donors(segments: Artifact, console: Console) -> int:
    """Return how many donors every segmented picture has, at most as many as are kept.

    Parameters
    ----------
    segments : Artifact
    console : Console

    Returns
    -------
    int
    """
    return int((_donors(segments, KEPT_DONORS, console) >= 0).sum(axis=1).min())


def _donors(segments: Artifact, count: int, console: Console) -> NDArray[np.int64]:
    """Return the donors of each segmented picture: (N, count), found once and kept beside the dataset."""
    import numpy as np

    from facelime_cli.core.neighbours import nearest_unlike

    dataset = segments.input("datasets")
    rows = segments.read("row").astype(np.int64)

    def find(folder: Path) -> None:
        pool = _pool(dataset)
        console.note(f"looking for the most similar pictures {_unlike(dataset)} among {len(pool):,}")
        found = nearest_unlike(_thumbnails(dataset), dataset.read("labels"), _groups(dataset), rows, pool, count)
        files.write_array(folder / KEPT_ARRAY, found)

    key = {"measured": "donors", "count": count, "rows": digests.of_bytes(rows.astype("<i8").tobytes())}
    found: NDArray[np.int64] = _kept(dataset, key, find, console.note)
    return found


def _unlike(dataset: Artifact) -> str:
    """Return in words what a donor is to a picture."""
    return "of other findings" if is_multilabel(dataset) else "of another class"


def _thumbnails(dataset: Artifact) -> NDArray[np.uint8]:
    """Return the thumbnails of a dataset, (N, F), computed once and kept beside it."""
    import numpy as np

    from facelime_cli.core.neighbours import thumbnails

    def compute(folder: Path) -> None:
        # Small numbers at once: those of all pictures would take eight times as much memory.
        units = [
            thumbnails(dataset.read("images", dataset.rows(unit))).astype(np.uint8) for unit in range(dataset.n_units)
        ]
        files.write_array(folder / KEPT_ARRAY, np.concatenate(units))

    found: NDArray[np.uint8] = _kept(dataset, {"measured": "thumbnails"}, compute)
    return found


def _kept(
    dataset: Artifact,
    key: Mapping[str, Any],
    make: Callable[[Path], None],
    say: Callable[[str], None] = lambda _: None,
) -> NDArray[Any]:
    """Return an array that is computed once and kept beside a dataset, whatever number of processes want it."""
    import numpy as np

    return np.asarray(np.load(dataset.kept(key, make, say=say) / KEPT_ARRAY, allow_pickle=False))


def _mean_colour(dataset: Artifact) -> list[int]:
    """Return the mean red, green and blue of a dataset's training split, or of all its pictures when it has none."""
    import numpy as np

    pool = _pool(dataset)

    def compute(folder: Path) -> None:
        total = np.zeros(3, np.int64)
        for unit in range(dataset.n_units):
            rows = dataset.rows(unit)
            first, last = np.searchsorted(pool, (rows.start, rows.stop))
            if first < last:
                images = dataset.read("images", pool[first:last].tolist())
                total += images.sum(axis=(0, 1, 2), dtype=np.int64)
        files.write_array(folder / KEPT_ARRAY, total)

    total = _kept(dataset, {"measured": "colour"}, compute)
    pixels = len(pool) * math.prod(shapes.sides(dataset.facts["size"]))
    return [round(float(each)) for each in total / pixels]

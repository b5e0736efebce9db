"""What a classifier could cheat with: duplicates, groups in two splits, and classes that trivial figures tell apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image as PillowImage

    Grey = NDArray[np.float32]
    Floats = NDArray[np.float64]
    Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    Integers = NDArray[Any]
    Pairs = list[tuple[int, int]]

HASH_SIDE = 16
HASH_SIZE = (HASH_SIDE, HASH_SIDE)
NEAR_BITS = 80
"""Of 256 bits of the difference hash: only pairs that differ in no more are looked at.

Noise decides the bits of flat regions, so it cannot be small.
"""
NEAR_LEVELS = 4.0
"""Root mean square difference of two thumbnails, in grey levels, up to which two pictures are near duplicates.

Such pictures are one picture that was scaled, compressed again or slightly changed.
"""
HASH_ROWS = 128
"""Pictures whose neighbours are looked for at a time, so that the lists of these stay small."""
COARSE_SIDE = 4
"""Blocks along each side of a thumbnail by which near duplicates are looked for first."""
BLOCK_SIDE = HASH_SIDE // COARSE_SIDE
COARSE_REACH = 1.001 * NEAR_LEVELS * COARSE_SIDE
"""Euclidean distance of the means of blocks that near duplicates cannot exceed: the root of 16 squares of 4 levels.

A little more, since sums are rounded.
"""
CORNER_SHARE = 0.12
"""Of height and width: where hospitals burn in their markers."""
BORDER_SHARE = 0.04
"""Of height and width: where scanners leave their frames."""
LEAST_SIDE = 3
"""Of a picture whose sharpness is measured, in pixels: the Laplacian needs a neighbour on each side."""
FOLDS = 5
LEAST_CLASSES = 2
NAMED_FIGURES = 3
EXAMPLES = 5
SEPARATES = 0.5
"""Share of the way from chance to perfection from which a trivial rule tells the classes apart.

For two classes that is a balanced accuracy of 0.75.
"""
USED_BITS = "uses"
NEARLY_BLACK = 12
"""Bits of 16 that make a picture nearly black where it uses no more: its white is 16 of 255."""
READINGS = {USED_BITS: "used_bits", "bits": "given_bits", "profile": "colour_profile"}
"""What notes on reading are called among the figures."""
FIGURES = (
    "width",
    "height",
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "border_brightness",
    "border_contrast",
    "corner_upper_left",
    "corner_upper_right",
    "corner_lower_left",
    "corner_lower_right",
    "corner_edges",
)


@dataclass(frozen=True)
class Traits:
    """What is measured of each picture as it came, before any operation.

    Attributes
    ----------
    figures : tuple of float
        In the order of `FIGURES`. Width and height in pixels, the others in grey levels, 0…255.
    file_format : str
        Ending of the file.
    exact : str
        SHA-256 of its decoded pixels.
    near : bytes
        Difference hash of 256 bits: whether each of 16×16 cells is darker than its right neighbour (Krawetz 2013).
    thumbnail : bytes
        16×16 grey levels.
    kind : str
        Format of the file by its content, such as "JPEG".
    notes, warnings : tuple of str
        How it was read, as in `images.Decoded`.
    """

    figures: tuple[float, ...]
    file_format: str
    exact: str
    near: bytes
    thumbnail: bytes
    kind: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def note(self, name: str) -> str:
        """Return what one of the notes says: "12" for "bits" where it is "bits:12"; empty where there is none.

        Parameters
        ----------
        name : str

        Returns
        -------
        str
        """
        return next((each.partition(":")[2] for each in self.notes if each.startswith(f"{name}:")), "")

    def json(self) -> dict[str, Any]:
        """Return it as JSON values.

        Returns
        -------
        dict
            Bytes are hexadecimal.
        """
        # There may be many thousands: what is empty, as it mostly is, is left out.
        told = {name: value for name, value in vars(self).items() if value != ()}
        return {**told, "near": self.near.hex(), "thumbnail": self.thumbnail.hex()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Traits:
        """Return what `json` gave.

        Parameters
        ----------
        value : mapping
            From `json`.

        Returns
        -------
        Traits

        Raises
        ------
        KeyError
            When a value is missing.
        """
        figures = tuple(value["figures"])
        near = bytes.fromhex(value["near"])
        thumbnail = bytes.fromhex(value["thumbnail"])
        notes, warnings = tuple(value.get("notes", ())), tuple(value.get("warnings", ()))
        return cls(figures, value["file_format"], value["exact"], near, thumbnail, value["kind"], notes, warnings)


def traits(image: NDArray[np.uint8], file_format: str) -> Traits:
    """Measure one picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        Display space, before any operation: these figures tell sources apart, and operations would hide them.
    file_format : str
        Ending of its file.

    Returns
    -------
    Traits

    References
    ----------
    Krawetz, "Kind of Like That", The Hacker Factor Blog 2013: the difference hash.
    """
    import hashlib

    from PIL import Image

    grey = _grey(image)
    picture = Image.fromarray(grey.astype(np.uint8))
    figures = _figures(image, grey)
    # The shape too: two black pictures of 2×8 and 4×4 pixels have the same bytes.
    content = hashlib.sha256(repr(image.shape).encode())
    content.update(np.ascontiguousarray(image).data)
    near = _difference_hash(picture)
    thumbnail = picture.resize(HASH_SIZE, Image.Resampling.BOX)
    return Traits(figures, file_format, content.hexdigest(), near, thumbnail.tobytes())


def _grey(image: NDArray[np.uint8]) -> Grey:
    """Return the mean of the channels: (H, W) float32."""
    # Channel by channel: NumPy reduces an axis of three twenty times slower. Sums of three bytes are exact in float32.
    grey = image[..., 0].astype(np.float32)
    grey += image[..., 1]
    grey += image[..., 2]
    grey /= np.float32(3)
    return grey


def _difference_hash(picture: PillowImage.Image) -> bytes:
    """Return 256 bits of which few change when a picture is scaled, compressed or brightened."""
    from PIL import Image

    # One column more, since each cell is compared with its right neighbour.
    small = picture.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    cells = np.asarray(small).astype(np.int16)
    darker = cells[:, 1:] > cells[:, :-1]
    return np.packbits(darker).tobytes()


def _figures(image: NDArray[np.uint8], grey: Grey) -> tuple[float, ...]:
    """Return the figures in the order of `FIGURES`: all that a rule may see, and nothing of the content."""
    height, width = grey.shape
    # Size comes first of all: one hospital's device has one size, and one hospital often has one class.
    figures = [width, height, grey.mean(), grey.std()]
    figures += [_saturation(image).mean(), _sharpness(grey)]
    border = _border(grey)
    figures += [border.mean(), border.std()]
    corners = _corners(grey)
    figures += [corner.mean() for corner in corners]
    # The most uneven corner: a marker stands in one of them, not always in the same.
    figures.append(max(corner.std() for corner in corners))
    return tuple(float(each) for each in figures)


def _saturation(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the difference between the strongest and the weakest channel: (H, W)."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    most = np.maximum(np.maximum(red, green), blue)
    most -= np.minimum(np.minimum(red, green), blue)
    return most


def _corners(grey: Grey) -> list[Grey]:
    """Return the four corners: upper left, upper right, lower left, lower right."""
    height, width = grey.shape
    down = max(1, round(height * CORNER_SHARE))
    across = max(1, round(width * CORNER_SHARE))
    upper_left = grey[:down, :across]
    upper_right = grey[:down, -across:]
    lower_left = grey[-down:, :across]
    lower_right = grey[-down:, -across:]
    return [upper_left, upper_right, lower_left, lower_right]


def _border(grey: Grey) -> Grey:
    """Return the pixels along the four sides, those of the corners twice: (n,)."""
    height, width = grey.shape
    down = max(1, round(height * BORDER_SHARE))
    across = max(1, round(width * BORDER_SHARE))
    top = grey[:down].ravel()
    bottom = grey[-down:].ravel()
    left = grey[:, :across].ravel()
    right = grey[:, -across:].ravel()
    return np.concatenate([top, bottom, left, right])


def _sharpness(grey: Grey) -> float:
    """Return the mean size of the discrete Laplacian, in grey levels."""
    if min(grey.shape) < LEAST_SIDE:
        return 0.0
    middle = grey[1:-1, 1:-1]
    above = grey[:-2, 1:-1]
    below = grey[2:, 1:-1]
    left = grey[1:-1, :-2]
    right = grey[1:-1, 2:]
    # In place: each further array of a large picture costs as much memory as the picture.
    laplacian = 4 * middle
    for neighbour in (above, below, left, right):
        laplacian -= neighbour
    return float(np.abs(laplacian, out=laplacian).mean())


def near_pairs(measured: Sequence[Traits]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of pictures that are nearly the same.

    Parameters
    ----------
    measured : sequence of N Traits
        Of all pictures.

    Yields
    ------
    int, int
        Numbers of two pictures, the smaller first, in ascending order. They are alike by difference hash and by
        thumbnail.

    Notes
    -----
    Flat regions, black as on a radiograph, make bits that noise decides, so that the hash alone would miss pairs or
    name strangers. Pairs are yielded, not kept: a thousand blank pictures make half a million.
    """
    hashes = _words(measured)
    thumbnails = _thumbnails(measured)
    for first, later in _within_reach(_coarse(thumbnails)):
        bits = np.bitwise_count(hashes[later] ^ hashes[first])
        second = later[bits.sum(axis=-1, dtype=np.int32) <= NEAR_BITS]
        change = thumbnails[second] - thumbnails[first]
        near = second[np.sqrt((change**2).mean(axis=-1)) <= NEAR_LEVELS]
        yield from ((first, other) for other in near.tolist())


def _within_reach(coarse: Floats) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each picture with those after it that may be nearly the same."""
    if len(coarse) <= HASH_ROWS:
        # So few are compared with each other long before the library of the tree is imported.
        yield from ((first, np.arange(first + 1, len(coarse))) for first in range(len(coarse)))
        return
    from scipy.spatial import KDTree

    # Comparing all with all takes 256 times as long for 16 times as many pictures; a tree finds the few that may be.
    tree = KDTree(coarse)
    for start in range(0, len(coarse), HASH_ROWS):
        found = tree.query_ball_point(coarse[start : start + HASH_ROWS], COARSE_REACH, return_sorted=True)
        for first, others in enumerate(found, start):
            # Each pair once, and no picture with itself.
            yield first, np.array([other for other in others if other > first], dtype=np.int64)


def _coarse(thumbnails: Grey) -> Floats:
    """Return the mean grey levels of 4×4 blocks of thumbnails: (N, 16).

    Means differ by no more than what they are the means of. So no two near duplicates are farther apart than
    `COARSE_REACH`.
    """
    blocks = thumbnails.reshape(len(thumbnails), COARSE_SIDE, BLOCK_SIDE, COARSE_SIDE, BLOCK_SIDE)
    means: Floats = blocks.mean(axis=(2, 4), dtype=np.float64)
    return means.reshape(len(thumbnails), -1)


def _words(measured: Sequence[Traits]) -> NDArray[np.uint64]:
    """Return the difference hashes as four numbers each: (N, 4). A processor counts 64 bits at a time."""
    hashes = b"".join(each.near for each in measured)
    words = np.frombuffer(hashes, dtype="<u8")
    return words.reshape(len(measured), -1)


def _thumbnails(measured: Sequence[Traits]) -> Grey:
    """Return the thumbnails, in grey levels: (N, 256)."""
    joined = b"".join(each.thumbnail for each in measured)
    levels = np.frombuffer(joined, dtype=np.uint8)
    # Floats, since differences of uint8 wrap around: 3 - 5 would be 254.
    return levels.reshape(len(measured), -1).astype(np.float32)


@dataclass(frozen=True)
class TrivialRule:
    """A logistic regression on the trivial figures and the file format alone.

    Attributes
    ----------
    balanced_accuracy : float
        Cross-validated, groups kept together, 0…1.
    chance : float
        One divided by the number of classes.
    strongest : list of (str, float)
        The figures that tell most alone, each with the balanced accuracy of a rule on it.
    readings : tuple of str
        What it knows of how the files were read, beside their format.
    """

    balanced_accuracy: float
    chance: float
    strongest: list[tuple[str, float]]
    readings: tuple[str, ...] = ()

    @property
    def separates(self) -> bool:
        """Whether the rule gets half of the way from chance to perfection, or further."""
        way = (self.balanced_accuracy - self.chance) / (1 - self.chance)
        return way >= SEPARATES

    def json(self) -> dict[str, Any]:
        """Return it as JSON values.

        Returns
        -------
        dict
            `balanced_accuracy`, `chance`, `separates`, `strongest`.
        """
        accuracy = round(self.balanced_accuracy, 4)
        chance = round(self.chance, 4)
        return {
            "balanced_accuracy": accuracy,
            "chance": chance,
            "separates": self.separates,
            "strongest": self.strongest,
        }


def trivial_rule(
    measured: Sequence[Traits], labels: Integers, groups: Sequence[str], *, only_if_it_separates: bool = False
) -> TrivialRule | None:
    """Judge how well trivial figures alone tell the classes apart.

    Parameters
    ----------
    measured : sequence of N Traits
        Of all pictures with a class.
    labels : (N,) int array
        Class of each.
    groups : sequence of N str
        Patient or lesion of each.
    only_if_it_separates : bool
        Whether the figures are judged alone only for a rule that tells the classes apart: that takes most of the time.

    Returns
    -------
    TrivialRule or None
        None where there are fewer than two classes, or a class has fewer than `FOLDS` groups.
    """
    names = np.asarray(groups, dtype=str)
    if not _can_be_judged(labels, names):
        return None
    chance = 1 / len(np.unique(labels))
    columns = _columns(measured)
    # A figure that is the same for all pictures says nothing, and its splines have no range.
    telling = {name: values for name, values in columns.items() if _varies(values)}
    if not telling:
        return TrivialRule(chance, chance, [])
    folds = _folds(labels, names)
    together = np.hstack(list(telling.values()))
    rule = TrivialRule(_cross_validated(together, labels, folds), chance, [], tuple(_readings(measured)))
    if only_if_it_separates and not rule.separates:
        return rule
    # Each figure for itself shows a person what to look at. Weights of correlated figures would name the wrong one.
    alone = []
    for name, values in telling.items():
        accuracy = _cross_validated(values, labels, folds)
        alone.append((name, accuracy))
    alone.sort(key=lambda item: -item[1])
    return replace(rule, strongest=[(name, round(accuracy, 4)) for name, accuracy in alone[:NAMED_FIGURES]])


def _varies(values: Floats) -> bool:
    ranges = np.ptp(values, axis=0)
    return bool(ranges.max() > 0)


def _can_be_judged(labels: Integers, groups: NDArray[Any]) -> bool:
    """Whether each fold can hold a group of each class."""
    classes = np.unique(labels)
    if len(classes) < LEAST_CLASSES:
        return False
    for c in classes:
        own_groups = np.unique(groups[labels == c])
        if len(own_groups) < FOLDS:
            return False
    return True


def _columns(measured: Sequence[Traits]) -> dict[str, Floats]:
    """Return what the rule may see, by name: (N, 1) for a figure, a column for each file format."""
    figures = np.array([each.figures for each in measured])
    columns = {}
    for i, name in enumerate(FIGURES):
        columns[name] = figures[:, [i]]
    columns["file_format"] = _one_hot([each.file_format for each in measured])
    for name, words in _readings(measured).items():
        columns[name] = _one_hot(words)
    return columns


def _one_hot(words: Sequence[str]) -> Floats:
    """Return names without an order as a column of 0 and 1 for each name."""
    own = np.array(words)
    columns: Floats = (own[:, None] == np.unique(own)).astype(float)
    return columns


def _readings(measured: Sequence[Traits]) -> dict[str, list[str]]:
    """Return what else is known of how files were read: by name a word for each picture, where these differ."""
    found = {}
    pairs = {(each.file_format, each.kind) for each in measured}
    # The ending of a file mostly says what it is.
    if len(pairs) > len({ending for ending, _ in pairs}):
        found["content"] = [each.kind for each in measured]
    for note in sorted({note.partition(":")[0] for each in measured for note in each.notes}):
        words = [each.note(note) for each in measured]
        if note == USED_BITS:
            words = [word if word and int(word) <= NEARLY_BLACK else "" for word in words]
        found[READINGS.get(note, note)] = words
    return {name: words for name, words in found.items() if len(set(words)) > 1}


def _folds(labels: Integers, groups: NDArray[Any]) -> Folds:
    """Return which pictures are fitted and which held out, fold by fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    # Groups stay together: a rule that knows a patient's brightness would seem to know the disease.
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    # Once for all figures: dealing many groups out takes as long as a fit.
    return list(folds.split(np.zeros((len(labels), 1)), labels, groups))


def _cross_validated(values: Floats, labels: Integers, folds: Folds) -> float:
    """Return the balanced accuracy of a logistic regression on held-out groups."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    # Splines, so that a middle range ("neither dark nor bright") counts as a rule too.
    splines = SplineTransformer(n_knots=4, degree=2)
    regression = LogisticRegression(class_weight="balanced", max_iter=1000)
    rule = make_pipeline(StandardScaler(), splines, regression)
    predicted = cross_val_predict(rule, values, labels, cv=folds)
    # Balanced: with nine healthy pictures of ten, "always healthy" is right in 90 %.
    return float(balanced_accuracy_score(labels, predicted))


def report(
    ids: Sequence[str],
    measured: Sequence[Traits],
    labels: Integers,
    split: Integers,
    groups: Sequence[str],
    findings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what could leak, as figures, examples and sentences.

    Parameters
    ----------
    ids : sequence of N str
        Names of the pictures.
    measured : sequence of N Traits
        What `traits` measured of each.
    labels, split : (N,) int arrays
        Class, and split or fold, of each; -1 where there is none. Labels may be (N, L): see `core.labels`.
    groups : sequence of N str
        Patient or lesion of each.
    findings : sequence of L str
        Names of the findings, where a picture may have several.

    Returns
    -------
    dict
        `exact` and `near` (pairs, pairs across splits, pairs with different labels, examples), `groups_across_parts`
        (groups in two splits), `trivial_rule`, `sentences` (one for each thing found) and `marked` (whether there is
        one). With findings, `trivial_rules` has in place of `trivial_rule` that of each finding, by name.
    """
    exact = _exact_pairs(measured)
    # A duplicate is a near duplicate too, and is counted once.
    near = (pair for pair in near_pairs(measured) if measured[pair[0]].exact != measured[pair[1]].exact)
    rule: TrivialRule | None = None
    rules: dict[str, TrivialRule | None] = {}
    if findings:
        rules = {
            name: _rule_of_labelled(measured, column, groups, only_if_it_separates=True)
            for name, column in zip(findings, labels.T, strict=True)
        }
    else:
        rule = _rule_of_labelled(measured, labels, groups)
    found: dict[str, Any] = {}
    found["exact"] = _pairs(exact, ids, labels, split, findings)
    found["near"] = _pairs(near, ids, labels, split, findings)
    found["groups_across_parts"] = _groups_across(groups, split)
    if findings:
        found["trivial_rules"] = {name: None if each is None else each.json() for name, each in rules.items()}
    else:
        found["trivial_rule"] = None if rule is None else rule.json()
    sentences = _sentences(found, rule) + _findings_sentences(rules)
    found["sentences"] = sentences
    found["marked"] = bool(sentences)
    return found


def nameless(found: Mapping[str, Any]) -> list[str]:
    """Return the sentences of a report without the pictures and groups that they name as examples.

    Parameters
    ----------
    found : mapping
        From `report`, of any version; empty for a dataset without one.

    Returns
    -------
    list of str

    Examples
    --------
    >>> nameless({"groups_across_parts": ["12"], "sentences": ["1 group is in both, such as 12: look."]})
    ['1 group is in both: look.']
    """
    named = [" and ".join(pair) for kind in ("exact", "near") for pair in found.get(kind, {}).get("examples", [])]
    named += found.get("groups_across_parts", [])
    sentences = []
    for sentence in found.get("sentences", []):
        plain = sentence
        for name in named:
            plain = plain.replace(f", such as {name}:", ":")
        sentences.append(plain)
    return sentences


def _rule_of_labelled(
    measured: Sequence[Traits], labels: Integers, groups: Sequence[str], *, only_if_it_separates: bool = False
) -> TrivialRule | None:
    """Return the trivial rule of the pictures that have a class."""
    labelled = np.flatnonzero(labels >= 0)
    rows = labelled.tolist()
    own_traits = [measured[i] for i in rows]
    own_groups = [groups[i] for i in rows]
    return trivial_rule(own_traits, labels[labelled], own_groups, only_if_it_separates=only_if_it_separates)


def _exact_pairs(measured: Sequence[Traits]) -> Pairs:
    """Return each further copy of a picture with its first.

    Whatever differs among the copies differs from the first in one of them, so that ten copies make nine pairs.
    """
    first: dict[str, int] = {}
    pairs = []
    for i, each in enumerate(measured):
        original = first.setdefault(each.exact, i)
        if original != i:
            pairs.append((original, i))
    return pairs


def _pairs(
    pairs: Iterable[tuple[int, int]],
    ids: Sequence[str],
    labels: Integers,
    split: Integers,
    findings: Sequence[str] = (),
) -> dict[str, Any]:
    # The worst first, each pair once: a person looks at five.
    kinds: list[Pairs] = [[], [], []]
    counts = [0, 0, 0]
    by_finding = np.zeros(len(findings), np.int64)
    for pair in pairs:
        if findings:
            differing = _differing(labels, *pair)
            by_finding += differing
            labelled_apart = bool(differing.any())
        else:
            labelled_apart = _differ(labels, *pair)
        for kind, counts_here in enumerate((_differ(split, *pair), labelled_apart, True)):
            counts[kind] += counts_here
            if counts_here and len(kinds[kind]) < EXAMPLES:
                kinds[kind].append(pair)
    examples = list(dict.fromkeys(pair for kind in kinds for pair in kind))
    named = [[ids[i], ids[j]] for i, j in examples[:EXAMPLES]]
    found = {
        "pairs": counts[2],
        "across_parts": counts[0],
        "different_labels": counts[1],
        "examples": named,
    }
    if findings:
        found["different_findings"] = {name: int(n) for name, n in zip(findings, by_finding, strict=True) if n}
    return found


def _differ(values: Integers, i: int, j: int) -> bool:
    """Whether the values of two pictures differ, both known."""
    # -1 is no split and no class: a picture without one can leak nothing.
    return bool(min(values[i], values[j]) >= 0 and values[i] != values[j])


def _differing(labels: Integers, i: int, j: int) -> NDArray[np.bool_]:
    """Return in which findings two pictures differ, both known: (L,)."""
    return np.asarray((labels[i] >= 0) & (labels[j] >= 0) & (labels[i] != labels[j]))


def _groups_across(groups: Sequence[str], split: Integers) -> list[str]:
    """Return the groups that are in more than one split, by name."""
    first: dict[str, int] = {}
    across = set()
    for group, own in zip(groups, split.tolist(), strict=True):
        if own < 0:
            continue
        if first.setdefault(group, own) != own:
            across.add(group)
    return sorted(across)


def _sentences(found: dict[str, Any], rule: TrivialRule | None) -> list[str]:
    """Return a sentence for each thing that a person has to see to before training."""
    sentences = _pair_sentences(found["exact"], "the same picture")
    sentences += _pair_sentences(found["near"], "nearly the same picture")
    across = found["groups_across_parts"]
    if across:
        number = _number(len(across), "group (patient or lesion) is", "groups (patients or lesions) are")
        sentences.append(
            f"{number} in more than one split, such as {across[0]}: "
            "the model is tested or validated on patients that it was trained on."
        )
    if rule is not None and rule.separates:
        sentences.append(_rule_sentence(rule))
    return sentences


def _pair_sentences(found: dict[str, Any], words: str) -> list[str]:
    sentences = []
    across, different = found["across_parts"], found["different_labels"]
    if across:
        pairs = _number(across, "pair shows", "pairs show")
        first, second = found["examples"][0]
        sentences.append(
            f"{pairs} {words} in different splits, such as {first} and {second}: "
            "the model is tested or validated on what it was trained on."
        )
    if different:
        pairs = _number(different, "pair shows", "pairs show")
        by_finding = ", ".join(f"{name} {count}" for name, count in found.get("different_findings", {}).items())
        which = f" ({by_finding})" if by_finding else ""
        sentences.append(f"{pairs} {words} with different labels{which}: one label of each pair is wrong.")
    return sentences


def _rule_sentence(rule: TrivialRule) -> str:
    accuracy = _percent(rule.balanced_accuracy)
    chance = _percent(rule.chance)
    known = ["corners", "file format", *(name.replace("_", " ") for name in rule.readings)]
    return (
        f"A rule that sees no content reaches {accuracy} balanced accuracy (chance: {chance}). "
        "It knows only size, brightness, contrast, saturation, sharpness, borders, "
        f"{', '.join(known[:-1])} and {known[-1]}. "
        f"The strongest figures alone reach: {_strongest(rule)}. "
        "A network can use them instead of the disease."
    )


def _findings_sentences(rules: Mapping[str, TrivialRule | None]) -> list[str]:
    """Return a sentence for each finding that trivial figures tell."""
    return [
        f"{name}: a rule that sees no content tells pictures with it from pictures without it, with "
        f"{_percent(rule.balanced_accuracy)} balanced accuracy (chance: {_percent(rule.chance)}). "
        f"The strongest figures alone reach: {_strongest(rule)}. A network can use them instead of the finding."
        for name, rule in rules.items()
        if rule is not None and rule.separates
    ]


def _strongest(rule: TrivialRule) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_percent(value)}" for name, value in rule.strongest)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"

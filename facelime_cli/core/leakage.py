"""What a classifier could cheat with: pictures that are there twice, groups in two parts, and classes that trivial figures tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

HASH_SIDE = 16
NEAR_BITS = 80
"""Of 256 bits of the difference hash; only pairs that differ in no more are looked at. Flat regions make bits that noise decides, so it cannot be small."""
NEAR_LEVELS = 4.0
"""Root mean square difference of two thumbnails, in grey levels, up to which pictures are taken for the same one, scaled, recompressed or slightly changed."""
HASH_ROWS = 128
CORNER_SHARE = 0.12
BORDER_SHARE = 0.04
FOLDS = 5
NAMED_FIGURES = 3
EXAMPLES = 5
SEPARATES = 0.5
"""Share of the way from chance to perfection at which a trivial rule tells the classes apart: 0.75 balanced accuracy for two classes."""
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
        In the order of `FIGURES`; sizes in pixels, the others in 0…255.
    file_format : str
        Ending of the file.
    exact : str
        SHA-256 of its decoded pixels.
    near : bytes
        Difference hash, 256 bits (Krawetz 2013: whether each of 16×16 cells is darker than its right neighbour).
    thumbnail : bytes
        16×16 grey levels.
    """

    figures: tuple[float, ...]
    file_format: str
    exact: str
    near: bytes
    thumbnail: bytes

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "near": self.near.hex(), "thumbnail": self.thumbnail.hex()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Traits:
        """Return what `json` gave."""
        return cls(
            tuple(value["figures"]),
            value["file_format"],
            value["exact"],
            bytes.fromhex(value["near"]),
            bytes.fromhex(value["thumbnail"]),
        )


def traits(image: NDArray[np.uint8], file_format: str) -> Traits:
    """Measure one picture: (H, W, 3) uint8."""
    import hashlib

    from PIL import Image

    height, width = image.shape[:2]
    grey = image.astype(np.float32).mean(axis=-1)
    down, right = max(1, round(height * CORNER_SHARE)), max(1, round(width * CORNER_SHARE))
    corners = [grey[:down, :right], grey[:down, -right:], grey[-down:, :right], grey[-down:, -right:]]
    edge_y, edge_x = max(1, round(height * BORDER_SHARE)), max(1, round(width * BORDER_SHARE))
    border = np.concatenate(
        [each.ravel() for each in (grey[:edge_y], grey[-edge_y:], grey[:, :edge_x], grey[:, -edge_x:])]
    )
    figures = (
        width,
        height,
        grey.mean(),
        grey.std(),
        float((image.max(axis=-1) - image.min(axis=-1)).mean()),
        _sharpness(grey),
        border.mean(),
        border.std(),
        *(corner.mean() for corner in corners),
        max(float(corner.std()) for corner in corners),
    )
    cells = np.asarray(
        Image.fromarray(grey.astype(np.uint8)).resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    ).astype(np.int16)
    near = np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()
    thumbnail = Image.fromarray(grey.astype(np.uint8)).resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX).tobytes()
    return Traits(
        tuple(float(each) for each in figures),
        file_format,
        hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest(),
        near,
        thumbnail,
    )


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Return the mean size of the discrete Laplacian."""
    if min(grey.shape) < 3:  # noqa: PLR2004 - the Laplacian needs a neighbour on each side
        return 0.0
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(np.abs(laplacian).mean())


def near_pairs(measured: Sequence[Traits]) -> list[tuple[int, int]]:
    """Return the pairs of pictures that are nearly the same: alike by their difference hashes, and then by their thumbnails."""
    words = np.frombuffer(b"".join(each.near for each in measured), dtype="<u8").reshape(len(measured), -1)
    thumbnails = (
        np.frombuffer(b"".join(each.thumbnail for each in measured), dtype=np.uint8)
        .reshape(len(measured), -1)
        .astype(np.float32)
    )
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(words), HASH_ROWS):
        block = words[start : start + HASH_ROWS]
        distance = np.bitwise_count(block[:, None] ^ words[None, start:]).sum(axis=-1, dtype=np.int32)
        rows, others = np.nonzero(np.triu(distance <= NEAR_BITS, 1))
        apart = np.sqrt(((thumbnails[start + rows] - thumbnails[start + others]) ** 2).mean(axis=-1))
        pairs += [
            (start + int(i), start + int(j))
            for i, j in zip(rows[apart <= NEAR_LEVELS], others[apart <= NEAR_LEVELS], strict=True)
        ]
    return pairs


@dataclass(frozen=True)
class TrivialRule:
    """A logistic regression on the trivial figures and the file format alone.

    Attributes
    ----------
    balanced_accuracy : float
        Cross-validated, groups kept together.
    chance : float
        One divided by the number of classes.
    strongest : list of (str, float)
        The figures that tell most alone, each with the balanced accuracy of a rule on it.
    """

    balanced_accuracy: float
    chance: float
    strongest: list[tuple[str, float]]

    @property
    def separates(self) -> bool:
        """Whether the rule gets half of the way from chance to perfection, or further."""
        return (self.balanced_accuracy - self.chance) / (1 - self.chance) >= SEPARATES


def trivial_rule(measured: Sequence[Traits], labels: NDArray[Any], groups: Sequence[str]) -> TrivialRule | None:
    """Judge how well trivial figures alone tell the classes apart.

    Parameters
    ----------
    measured : sequence of N Traits
    labels : (N,) int array
    groups : sequence of N str

    Returns
    -------
    TrivialRule or None
        None where there are fewer than two classes, or a class has fewer than `FOLDS` groups.
    """
    classes = np.unique(labels)
    names = np.asarray(groups, dtype=str)
    if len(classes) < 2 or min(len(np.unique(names[labels == c])) for c in classes) < FOLDS:  # noqa: PLR2004 - two classes to tell apart
        return None
    figures = np.array([each.figures for each in measured])
    formats = sorted({each.file_format for each in measured})
    columns = {name: figures[:, [i]] for i, name in enumerate(FIGURES)}
    columns["file_format"] = np.array([[each.file_format == one for one in formats] for each in measured], dtype=float)
    telling = {name: values for name, values in columns.items() if np.ptp(values, axis=0).max() > 0}
    if not telling:
        return TrivialRule(1 / len(classes), 1 / len(classes), [])
    alone = {name: _cross_validated(values, labels, names) for name, values in telling.items()}
    strongest = sorted(alone.items(), key=lambda item: -item[1])[:NAMED_FIGURES]
    return TrivialRule(
        _cross_validated(np.hstack(list(telling.values())), labels, names),
        1 / len(classes),
        [(name, round(value, 4)) for name, value in strongest],
    )


def _cross_validated(values: NDArray[np.float64], labels: NDArray[Any], groups: NDArray[Any]) -> float:
    """Return the balanced accuracy of a logistic regression on held-out groups."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    # Splines, so that a middle range ("neither dark nor bright") counts as a rule too.
    rule = make_pipeline(
        StandardScaler(),
        SplineTransformer(n_knots=4, degree=2),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return float(balanced_accuracy_score(labels, cross_val_predict(rule, values, labels, groups=groups, cv=folds)))


def report(
    ids: Sequence[str], measured: Sequence[Traits], labels: NDArray[Any], split: NDArray[Any], groups: Sequence[str]
) -> dict[str, Any]:
    """Return what could leak, as figures, examples and sentences.

    Parameters
    ----------
    ids : sequence of N str
    measured : sequence of N Traits
    labels, split : (N,) int arrays
        -1 where there is none.
    groups : sequence of N str

    Returns
    -------
    dict
        `exact` and `near` (pairs, pairs across parts, pairs with different labels, examples), `groups_across_parts`, `trivial_rule`, `sentences` (one for each thing
        found) and `marked` (whether there is one).
    """
    exact, near = _exact_pairs(measured), near_pairs(measured)
    near = [(i, j) for i, j in near if measured[i].exact != measured[j].exact]
    found: dict[str, Any] = {
        "exact": _pairs(exact, ids, labels, split),
        "near": _pairs(near, ids, labels, split),
        "groups_across_parts": _groups_across(groups, split),
    }
    labelled = np.flatnonzero(labels >= 0)
    rule = trivial_rule([measured[int(i)] for i in labelled], labels[labelled], [groups[int(i)] for i in labelled])
    found["trivial_rule"] = (
        None
        if rule is None
        else {
            "balanced_accuracy": round(rule.balanced_accuracy, 4),
            "chance": round(rule.chance, 4),
            "separates": rule.separates,
            "strongest": rule.strongest,
        }
    )
    sentences = _sentences(found, rule)
    return found | {"sentences": sentences, "marked": bool(sentences)}


def _exact_pairs(measured: Sequence[Traits]) -> list[tuple[int, int]]:
    """Return each further copy of a picture with its first: whatever differs among the copies differs from the first in one of them."""
    first: dict[str, int] = {}
    return [(first[each.exact], i) for i, each in enumerate(measured) if first.setdefault(each.exact, i) != i]


def _pairs(
    pairs: list[tuple[int, int]], ids: Sequence[str], labels: NDArray[Any], split: NDArray[Any]
) -> dict[str, Any]:
    across, different = (
        [(i, j) for i, j in pairs if min(of[i], of[j]) >= 0 and of[i] != of[j]] for of in (split, labels)
    )
    examples = list(dict.fromkeys([*across, *different, *pairs]))[:EXAMPLES]
    return {
        "pairs": len(pairs),
        "across_parts": len(across),
        "different_labels": len(different),
        "examples": [[ids[i], ids[j]] for i, j in examples],
    }


def _groups_across(groups: Sequence[str], split: NDArray[Any]) -> list[str]:
    parts: dict[str, set[int]] = {}
    for group, part in zip(groups, split, strict=True):
        if part >= 0:
            parts.setdefault(group, set()).add(int(part))
    return sorted(group for group, where in parts.items() if len(where) > 1)


def _sentences(found: dict[str, Any], rule: TrivialRule | None) -> list[str]:
    said = []
    for name, words in (("exact", "the same picture twice"), ("near", "nearly the same picture twice")):
        each = found[name]
        if each["across_parts"]:
            said.append(
                f"{each['across_parts']} times {words} in different parts, such as {' and '.join(each['examples'][0])}: what is tested or validated was trained on."
            )
        if each["different_labels"]:
            said.append(f"{each['different_labels']} times {words} with different labels: one of them is wrong.")
    across = found["groups_across_parts"]
    if across:
        said.append(
            f"{len(across)} groups (patients or lesions) are in more than one part, such as {across[0]}: what is tested or validated was trained on."
        )
    if rule is not None and rule.separates:
        by = ", ".join(f"{name.replace('_', ' ')} {100 * value:.0f} %" for name, value in rule.strongest)
        said.append(
            f"{100 * rule.balanced_accuracy:.0f} % balanced accuracy without looking at any content (chance {100 * rule.chance:.0f} %), from size, brightness, sharpness, borders and corners alone; "
            f"each for itself: {by}. A network can use that instead of the disease."
        )
    return said

"""Judge choices of views, and rules that join them, on the answers that `pool.py` has kept.

A case counts for each network that it is verified for (see `cases.py`). Each choice spreads the same number of
evaluations over its views. Views that carry the mean are joined on the carrier's regions, witnesses only cost
evaluations.

*first*: the region with the largest coefficient is marked.
*IoU*: overlap of the tag's pixels with as many of the strongest regions as are marked.
*fine IoU*: overlap of the tag's pixels with as many of the strongest pixels. A pixel has the sum of its segments'
coefficients, each divided by the segment's pixels.
*again*: another seed and other donors give the same first region (one picture in four).

Intervals are of 95 %, by bootstrap over patients: both networks of a picture, and all its tags, are drawn together.

    python benchmarks/views.py --cache DIR [--half choose] [--evaluations 300 600 1000] [--networks frozen trained]
        [--strict]

The choice is made on the half `choose` of the kinds. `--half other` reports the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import CARRIER, NETWORKS, Bools, Floats, Labels, probability
from numpy.typing import NDArray
from planted import coefficients_of, judged, marked_by
from pool import DESIGN_OF, FEWER, NEAREST, OTHER_DESIGN, VIEWS, masks_of
from tags import HALVES

from facelime_cli.core import consensus

DEFAULT = "four donors in turn; witnesses with equal shares"
"""The choice that was made on the half `choose`."""
BOOTSTRAPS = 2000
BY_NAME = {view.name: view for view in VIEWS}
REFERENCE = "nearest-unlike, 40"
"""The choice that others are compared with."""


@dataclass(frozen=True)
class Choice:
    """Views, how the evaluations are spread over them, and which carry the mean.

    Attributes
    ----------
    shares : dict
        From the name of a view to its share of the evaluations.
    witnesses : tuple
        Names of those that do not carry the mean.
    """

    shares: dict[str, float]
    witnesses: tuple[str, ...] = ()


def _even(*names: str) -> Choice:
    """Return views that have equal shares and all carry the mean."""
    return Choice(dict.fromkeys(names, 1 / len(names)))


def _watched(*names: str, share: float = 0.1) -> Choice:
    """Return views that carry the mean, and blur and inpaint as witnesses with a share each."""
    each = (1 - len(OTHERS) * share) / len(names)
    return Choice(dict.fromkeys(names, each) | dict.fromkeys(OTHERS, share), OTHERS)


OTHERS = ("blur/40/0", "inpaint/40/0")
SCALES = tuple(f"{NEAREST}/{scale}/0" for scale in (17, 40, 85))
SCALES_TWO = tuple(f"{NEAREST}/{scale}/{donor}" for scale in (17, 40, 85) for donor in (0, 1))
DONORS = tuple(f"{NEAREST}/40/{donor}" for donor in range(4))
SCALES_FOUR = (*(f"{NEAREST}/{scale}/{donor}" for scale in (17, 85) for donor in (0, 1)), *DONORS[2:])
TURNS = (f"{NEAREST}/40/2", f"{NEAREST}/17/1", f"{NEAREST}/85/0", f"{NEAREST}/40/3")
FINE = (f"{NEAREST}/40/0", f"{NEAREST}/85/0")
EVERY = tuple(f"{fill}/{scale}/0" for fill in (NEAREST, "blur", "inpaint") for scale in (17, 40, 85))

CHOICES: dict[str, Choice] = {
    REFERENCE: _even(f"{NEAREST}/40/0"),
    "nearest-unlike, 17": _even(f"{NEAREST}/17/0"),
    "nearest-unlike, 85": _even(f"{NEAREST}/85/0"),
    "blur, 40": _even("blur/40/0"),
    "inpaint, 40": _even("inpaint/40/0"),
    "three fills, 40": _even(f"{NEAREST}/40/0", *OTHERS),
    "40, two donors": _even(*DONORS[:2]),
    "40, four donors": _even(*DONORS),
    "40 and 85": _even(*FINE),
    "three scales": _even(*SCALES),
    "three scales, other donor at 40": _even(SCALES[0], DONORS[1], SCALES[2]),
    "three scales × two donors": _even(*SCALES_TWO),
    "three scales, four donors": _even(*SCALES_FOUR),
    "three scales + blur, inpaint": _even(*SCALES, *OTHERS),
    "three scales × two donors + blur, inpaint": _even(*SCALES_TWO, *OTHERS),
    "three scales × three fills": _even(*EVERY),
    "four donors in turn": _even(*TURNS),
    "four donors in turn + blur, inpaint": _even(*TURNS, *OTHERS),
    "four donors in turn; witnesses": _watched(*TURNS),
    "four donors in turn; witnesses with equal shares": _watched(*TURNS, share=1 / 6),
    "three scales; witnesses": _watched(*SCALES),
    "three scales × two donors; witnesses": _watched(*SCALES_TWO),
    "three scales, four donors; witnesses": _watched(*SCALES_FOUR),
}
"""Candidates. Segments are those that are asked for. *In turn*: 17, 40, 85 and 40 segments, another donor each."""


class Record:
    """What the pool holds of one picture."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.about = about
        self.name, _, self.what = about["name"].rpartition("/")
        self.file = folder / f"{about['name'].replace('/', '-')}.npz"
        with np.load(self.file) as kept:
            self.arrays = {key: kept[key] for key in kept.files if not key.startswith(("image", "fill/"))}

    @property
    def carrier(self) -> Labels:
        """The carrier's segments."""
        return self.segments(CARRIER)

    def segments(self, scale: int) -> Labels:
        """Return the segments of a scale."""
        return self.arrays[f"segments/{scale}"].astype(np.uint16)

    def pictures(self) -> dict[str, Any]:
        """Return the picture and what stands in for its regions."""
        with np.load(self.file) as kept:
            return {key: kept[key] for key in kept.files if key.startswith(("image", "fill/"))}

    @cache  # noqa: B019 - records live as long as the process
    def coefficients(self, view: str, network: int, rows: int) -> Floats:
        """Return a view's coefficients on its own segments."""
        chosen = BY_NAME[view]
        there = self.arrays[view][network]
        if rows > len(there):
            raise ValueError(f"{view} has {len(there)} evaluations, {rows} are wanted; evaluate more in pool.py")
        n_segments = int(self.segments(chosen.scale).max()) + 1
        kept = masks_of(chosen, int(self.what == "again"), self.name, n_segments, rows)
        design, _ = DESIGN_OF.get(chosen.fill, OTHER_DESIGN)
        return coefficients_of(design, kept, probability(there[:rows].astype(np.float64)))


def records(cache: Path, half: str | None, what: str) -> list[Record]:
    """Return the pictures of one half of the kinds: `tag`, `again` or `clean`."""
    found = []
    for line in (cache / "pool.jsonl").read_text().splitlines():
        about = json.loads(line)
        if about.get("what") == what and half in {None, about["half"]}:
            found.append(Record(cache / "pool", about))
    return found


def counts(record: Record, network: int, *, strict: bool = False) -> bool:
    """Return whether a picture is a case for a network.

    It is a strict one when no other region changes the log-odds more, replaced with the nearest-unlike picture, than
    the tag does.
    """
    if not record.about["verified"][network] or not strict or record.what == "clean":
        return bool(record.about["verified"][network])
    others = ~marked_by(record.arrays["truth"], record.carrier)
    change = np.abs(record.arrays["full"][network] - record.arrays[f"off/{NEAREST}"][network])
    return bool(record.arrays["swapped"][network].max() > change[others].max())


def _scaled_mean(views: Floats) -> Floats:
    """Return the mean after each view is divided by its largest coefficient."""
    largest = np.abs(views).max(axis=1, keepdims=True)
    return np.asarray((views / np.maximum(largest, 1e-12)).mean(axis=0))


def _spread_mean(views: Floats) -> Floats:
    """Return the mean after each view is divided by the standard deviation of its coefficients."""
    return np.asarray((views / np.maximum(views.std(axis=1, keepdims=True), 1e-12)).mean(axis=0))


JOINS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda views: np.asarray(views.mean(axis=0)),
    "mean of scaled": _scaled_mean,
    "mean of standardised": _spread_mean,
    "median": lambda views: np.asarray(np.median(views, axis=0)),
}
"""From the views' coefficients on the carrier, (V, K), to one for each region."""


@dataclass(frozen=True)
class Joined:
    """An explanation from several views.

    Attributes
    ----------
    coefficients : (K,) float64 array
        On the carrier.
    views : dict
        Each view's own on the carrier, witnesses too.
    density : (H, W) float64 array
        Summed over the views that carry the mean, for each pixel.
    """

    coefficients: Floats
    views: dict[str, Floats]
    density: Floats


def joined(record: Record, network: int, choice: Choice, evaluations: int, rule: str = "mean") -> Joined:
    """Return one explanation."""
    views, density = {}, np.zeros(record.carrier.shape)
    for view, share in choice.shares.items():
        own = record.coefficients(view, network, round(evaluations * share))
        segments = record.segments(BY_NAME[view].scale)
        views[view] = consensus.shares(record.carrier, segments) @ own
        if view not in choice.witnesses:
            density += (own / np.bincount(segments.ravel()))[segments]
    carrying = np.stack([each for view, each in views.items() if view not in choice.witnesses])
    return Joined(JOINS[rule](carrying), views, density)


def fine_overlap(density: Floats, truth: Bools) -> float:
    """Return the overlap of the tag with as many of the strongest pixels."""
    least = np.sort(density.ravel())[-int(truth.sum())]
    strongest = density >= least
    return float((strongest & truth).sum() / (strongest | truth).sum())


@dataclass(frozen=True)
class Results:
    """One measure of every case, and which cases are of one patient.

    Attributes
    ----------
    values : (N,) float64 array
    groups : (N,) int64 array
    """

    values: Floats
    groups: NDArray[np.int64]

    def interval(self) -> tuple[float, float, float]:
        """Return the mean and its interval."""
        known, places = np.unique(self.groups, return_inverse=True)
        sums = np.bincount(places, weights=self.values)
        counts = np.bincount(places)
        drawn = np.random.default_rng(0).integers(len(known), size=(BOOTSTRAPS, len(known)))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        return float(self.values.mean()), float(low), float(high)

    def less(self, other: Results) -> Results:
        """Return the paired differences."""
        return Results(self.values - other.values, self.groups)


class Judge:
    """Measures choices on the verified cases of one half."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.tagged = records(options.cache, options.half, "tag")
        self.again = {record.name: record for record in records(options.cache, options.half, "again")}
        self.strict = options.strict
        self.networks = [NETWORKS.index(name) for name in options.networks]
        patients = [f"{record.about['set']}/{record.about['group']}" for record in self.tagged]
        self.patients = np.unique(patients, return_inverse=True)[1]

    def cases(self, *, repeated: bool = False) -> Iterator[tuple[Record, int, int]]:
        """Yield pictures, networks and patients."""
        for record, patient in zip(self.tagged, self.patients, strict=True):
            for network in self.networks:
                known = not repeated or record.name in self.again
                if known and counts(record, network, strict=self.strict):
                    yield record, network, int(patient)

    @lru_cache(maxsize=2000)  # noqa: B019 - as above
    def measured(self, name: str, evaluations: int, rule: str = "mean") -> dict[str, Results]:
        """Return every measure of a choice."""
        found: dict[str, list[float]] = {"first": [], "IoU": [], "fine IoU": []}
        patients = []
        for record, network, patient in self.cases():
            answer = joined(record, network, CHOICES[name], evaluations, rule)
            truth = record.arrays["truth"]
            own = judged([answer.coefficients], record.carrier, truth)
            for measure, value in (("first", own["top 1"][0]), ("IoU", own["IoU"][0])):
                found[measure].append(value)
            found["fine IoU"].append(fine_overlap(answer.density, truth))
            patients.append(patient)
        results = {measure: Results(np.array(values), np.array(patients)) for measure, values in found.items()}
        if enough(CHOICES[name], evaluations, FEWER):
            results["again"] = self._repeated(name, evaluations, rule)
        return results

    def _repeated(self, name: str, evaluations: int, rule: str) -> Results:
        """Return whether another seed and other donors give the same first region."""
        same, patients = [], []
        for record, network, patient in self.cases(repeated=True):
            firsts = [
                joined(each, network, CHOICES[name], evaluations, rule).coefficients.argmax()
                for each in (record, self.again[record.name])
            ]
            same.append(float(firsts[0] == firsts[1]))
            patients.append(patient)
        return Results(np.array(same), np.array(patients))


MEASURES = ("first", "IoU", "fine IoU", "again")


def spelled(results: Results | None) -> str:
    """Return a mean with its interval."""
    if results is None or not len(results.values):
        return "–"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*results.interval())


def tables(judge: Judge, evaluations: list[int], chosen: list[str]) -> Iterator[str]:
    """Yield Markdown tables: counts, choices, differences from the reference, and rules of joining."""
    yield from numbers(judge)
    for n in evaluations:
        yield f"\n{n} evaluations:\n\n| views | " + " | ".join(MEASURES) + " | first − reference |"
        yield "| --- " * (2 + len(MEASURES)) + "|"
        for name in possible(chosen, n):
            found = judge.measured(name, n)
            less = spelled(found["first"].less(judge.measured(REFERENCE, n)["first"]))
            yield f"| {name} | " + " | ".join(spelled(found.get(each)) for each in MEASURES) + f" | {less} |"
    middle = evaluations[len(evaluations) // 2]
    yield f"\nRules of joining, {middle} evaluations:\n\n| views, rule | " + " | ".join(MEASURES) + " |"
    yield "| --- " * (1 + len(MEASURES)) + "|"
    for name in possible(chosen, middle):
        if len(CHOICES[name].shares) - len(CHOICES[name].witnesses) > 1 and not CHOICES[name].witnesses:
            for rule in JOINS:
                found = judge.measured(name, middle, rule)
                yield f"| {name}, {rule} | " + " | ".join(spelled(found.get(each)) for each in MEASURES) + " |"


def possible(chosen: list[str], evaluations: int) -> list[str]:
    """Return the choices that the pool has enough evaluations for."""
    return [name for name in chosen if enough(CHOICES[name], evaluations)]


def enough(choice: Choice, evaluations: int, part: float = 1.0) -> bool:
    """Return whether each view of a choice has enough evaluations, or a part of those there are."""
    return all(round(evaluations * share) <= part * BY_NAME[view].rows for view, share in choice.shares.items())


def numbers(judge: Judge) -> Iterator[str]:
    """Yield a table of the numbers of verified cases by kind, set and network."""
    kinds = sorted({record.about["kind"] for record in judge.tagged})
    cases = [(record.about["kind"], record.about["set"], NETWORKS[network]) for record, network, _ in judge.cases()]
    columns = sorted({case[1:] for case in cases})
    yield f"{len(cases)} verified cases of {len(judge.tagged)} pictures:\n"
    yield "| kind | " + " | ".join(", ".join(column) for column in columns) + " |"
    yield "| --- " * (1 + len(columns)) + "|"
    for kind in kinds:
        yield f"| {kind} | " + " | ".join(str(cases.count((kind, *column))) for column in columns) + " |"


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cases count."""
    parser.add_argument("--half", choices=list(HALVES), default="choose", help="Kinds of tags. [default: choose]")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="[default: both]")
    parser.add_argument("--strict", action="store_true", help="Count only cases whose tag outdoes every other region.")


def main() -> None:
    """Judge and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="The folder that pool.py has filled.")
    add_cases(parser)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[300, 600, 1000], help="In all, for each choice.")
    parser.add_argument("--views", nargs="+", choices=list(CHOICES), default=list(CHOICES), help="[default: all]")
    options = parser.parse_args()
    print("\n".join(tables(Judge(options), options.evaluations, options.views)))


if __name__ == "__main__":
    main()

"""What a reader sees of a model on two sources: sentences, tables for the terminal and the page, rows, and a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.choices import HALF
from facelime_cli.console import Table
from facelime_cli.core.findings import ALL, EACH, FEWEST_GROUPS
from facelime_cli.core.shift import CALIBRATION, COMMON, SHARES
from facelime_cli.core.value_figures import FIGURES
from facelime_cli.reporting import findings_report, source_comparison, values_report
from facelime_cli.reporting.evaluation import RECALL, VALIDATION
from facelime_cli.reporting.evaluation_report import Beside
from facelime_cli.reporting.quantities import Spoken, digits_for
from facelime_cli.reporting.source_comparison import ALL_CLASSES, COMPARED, EXPECTED, KNOWN, MOST_PROBABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from facelime_cli.reporting.evaluation import Answered, Scoring
    from facelime_cli.store.artifacts import Artifact

    Say = Callable[[float | None], str]

AT_THRESHOLDS = ("macro_f1", "micro_f1", "exact_match")
"""Figures of several findings that depend on thresholds: those chosen there are taken for both sides."""
WORDS = {
    **findings_report.WORDS,
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "average_precision": "average precision",
    "calibration_error": "calibration error",
    "brier": "Brier score",
    EXPECTED: "accuracy, if the classes were as frequent there as here",
    "prevalence": "prevalence",
    "mean_probability": "mean probability",
    "in_the_large": "calibration-in-the-large",
    "slope": "calibration slope",
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "unlike": "share of pictures unlike the training data",
}
"""The figures as tables name them."""
KNOWN_WORDS = dict(zip(KNOWN, ("mean of the known values", "standard deviation of the known values"), strict=True))
MOST_LEVELS = 3
"""Classes that sentences tell the probabilities of at most: those that are farthest off."""
MOST_SENTENCES = 6
"""Thresholds that sentences are about at most: those whose sensitivity falls most."""
HEADING = ("figure", "class", "there", "here", "difference", "low", "high")
"""Heading of sources.csv."""


def beside(there: Artifact | None, here: Answered, scoring: Scoring, facts: Mapping[str, Any]) -> Beside | None:
    """Return the section of the page on the comparison.

    Parameters
    ----------
    there : Artifact, optional
        The other evaluation.
    here : Answered
    scoring : Scoring
    facts : mapping
        Of the evaluation that is compared.

    Returns
    -------
    Beside or None
        None where nothing is compared.
    """
    if there is None:
        return None
    compared, unit = facts[COMPARED], facts.get("unit", "")
    chart = source_comparison.chart(there, here, scoring, compared)
    return Beside(there, sentences(compared, unit), tables(compared, unit), list(rows(compared)), chart)


def rows(compared: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of sources.csv: every figure on both sides, its difference, and the interval of that.

    Parameters
    ----------
    compared : mapping
        From `source_comparison.compare`.
    """
    yield HEADING
    for name, of, each in _every(compared):
        cells = (each["there"], each["here"], each["difference"], *(each["interval"] or (None, None)))
        yield name, of, *("" if cell is None else cell for cell in cells)


def _every(compared: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield every figure with its name and the class or value that it is about."""
    if compared["unlike"]:
        yield "unlike", "", compared["unlike"]
    for of, its in compared.get("values", {}).items():
        yield from ((name, of, its[name]) for name in (*KNOWN, *FIGURES))
    yield from ((name, "", each) for name, each in compared.get("figures", {}).items())
    for of, its in compared.get("classes", {}).items():
        yield from ((name, of, each) for name, each in its.items())
    for of, its in compared.get("thresholds", {}).items():
        how = MOST_PROBABLE if its["threshold"] is None else f"from {its['threshold']:.6g}"
        yield from ((f"{share} {how}", of, its[share]) for share in SHARES)


# Sentences


def sentences(compared: Mapping[str, Any], unit: str = "") -> list[str]:
    """Return what a reader should know first: the main figure, the thresholds, and what weakens the comparison.

    Parameters
    ----------
    compared : mapping
        From `source_comparison.compare`.
    unit : str
        Of values.
    """
    found = [*_doubts(compared), *_headlines(compared, unit)]
    thresholds = compared.get("thresholds", {})
    falls = sorted(thresholds, key=lambda name: thresholds[name]["recall"]["difference"] or 0.0)
    found += [_of_threshold(name, thresholds[name], compared["dataset"]) for name in falls[:MOST_SENTENCES]]
    if len(falls) > MOST_SENTENCES:
        found.append(f"{len(falls) - MOST_SENTENCES} more thresholds stand in the table: their sensitivity falls less.")
    return found


def _doubts(compared: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the comparison may mislead."""
    if compared["seen_in_training"]:
        yield f"of evaluations/{compared['evaluation']}: {compared['seen_in_training']}"
    if compared["shared_pictures"]:
        yield (
            f"{compared['shared_pictures']} of the pictures here are in evaluations/{compared['evaluation']} too: the "
            "sources are not independent, and the intervals of the differences are wrong."
        )
    for side, names in compared.get("too_few", {}).items():
        if names:
            yield (
                f"fewer than {FEWEST_GROUPS} groups {side} have {_named(names)}, or fewer do not: the figures of these "
                "classes say nothing."
            )
    for key, where, lacks in (("only_there", "there", "here"), ("only_here", "here", "there")):
        if compared.get(key):
            yield (
                f"pictures of {_named(compared[key])} are {where} alone: balanced accuracy, macro F1 and AUC of the "
                f"comparison leave out what has none {lacks}."
            )


def _headlines(compared: Mapping[str, Any], unit: str) -> Iterator[str]:
    """Yield what becomes of the pictures, of the main figure, and of calibration."""
    if compared["unlike"]:
        yield _moved(f"the {WORDS['unlike']}", compared["unlike"])
    for name, its in compared.get("values", {}).items():
        for figure in ("mae", "bias"):
            yield _moved(f"{values_report.WORDS[figure]} of {name}", its[figure], _say(_spoken(compared, unit)))
    figures = compared.get("figures", {})
    for name in ("macro_auc", "auc", "calibration_error"):
        if name in figures and figures[name]["difference"] is not None:
            yield _moved(WORDS[name], figures[name])
    classes = compared.get("classes", {})
    if "accuracy" in figures and len(classes) == 2:  # noqa: PLR2004 - what is said of the one is said of the other
        classes = dict(list(classes.items())[-1:])
        yield from _of_slope(next(iter(classes.values()))["slope"])
    yield from _of_level(classes)


def _of_level(classes: Mapping[str, Any]) -> Iterator[str]:
    """Yield of which classes the probabilities are surely too high or too low here, other than there."""
    moved = {name: its for name, its in classes.items() if _is_sure(its["in_the_large"])}
    gaps = {name: its["mean_probability"]["here"] - its["prevalence"]["here"] for name, its in moved.items()}
    for name in sorted(gaps, key=lambda each: -abs(gaps[each]))[:MOST_LEVELS]:
        how = "too high" if gaps[name] > 0 else "too low"
        said, true = classes[name]["mean_probability"], classes[name]["prevalence"]
        here, there = (f"{_share(said[side])} on average for {_share(true[side])}" for side in ("here", "there"))
        yield f"its probabilities of {name} are {how} here: {here} of the pictures, and {there} there."


def _of_slope(slope: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a calibration slope means, where it is surely another one here."""
    if _is_sure(slope):
        how = "too near to 0 and 1" if slope["here"] < 1 else "too far from 0 and 1"
        yield f"{_moved(WORDS['slope'], slope)[:-1]}: its probabilities are {how} here."


def _moved(what: str, each: Mapping[str, Any], spoken: Say | None = None) -> str:
    """Return a sentence on what becomes of a figure."""
    say = spoken or _share
    there, here = say(each["there"]), say(each["here"])
    if each["difference"] is None:
        return f"{what} is {there} there and {here} here."
    if not each["difference"]:
        return f"{what} stays at {here}."
    if each["interval"] is not None and not _is_sure(each):
        return f"{what} is {there} there and {here} here: the difference may be chance."
    verb = "rises" if each["difference"] > 0 else "falls"
    words = f"{what} {verb} from {there} to {here}"
    if each["interval"] is None:
        return f"{words}."
    low, high = each["interval"]
    return f"{words} (95 % interval of the difference {_with_sign(low, say)} to {_with_sign(high, say)})."


def _of_threshold(name: str, each: Mapping[str, Any], dataset: str) -> str:
    """Return a sentence on what becomes of sensitivity and specificity at a threshold that was chosen there."""
    how = {
        HALF: "from a probability of 0.5 on",
        MOST_PROBABLE: "called where it is the most probable class",
        RECALL: f"at the threshold chosen on {dataset} ({each['threshold'] or 0:.4f}, for a recall of "
        f"{each.get('target_recall', 0):g})",
    }
    words = how.get(
        each["picked"], f"at the threshold chosen on {dataset} ({each['threshold'] or 0:.4f}, for the best F1)"
    )
    sensitivity, specificity = (_change(WORDS[share], each[share]) for share in ("recall", "specificity"))
    return f"{name}, {words}: {sensitivity}; {specificity}."


def _change(what: str, each: Mapping[str, Any]) -> str:
    """Return what becomes of a share, with the interval on either side."""
    there, here = (_with_interval(each[side], each[f"{side}_interval"]) for side in ("there", "here"))
    if each["difference"] is None:
        return f"{what} is {there} there and {here} here"
    if not each["difference"]:
        return f"{what} stays at {here}"
    if each["interval"] is not None and not _is_sure(each):
        return f"{what} is {there} there and {here} here, which may be chance"
    verb = "rises" if each["difference"] > 0 else "falls"
    return f"{what} {verb} from {there} to {here}"


def _is_sure(each: Mapping[str, Any]) -> bool:
    """Return whether the interval of a difference lies on one side of 0."""
    interval = each["interval"]
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


# Tables


def tables(compared: Mapping[str, Any], unit: str = "") -> list[Table]:
    """Return the comparison as tables.

    Parameters
    ----------
    compared : mapping
        From `source_comparison.compare`.
    unit : str
        Of values.
    """
    title = (
        f"there: evaluations/{compared['evaluation']}, {compared['n']} pictures in {compared['groups']} groups of "
        f"datasets/{compared['dataset']} ({_split(compared['split'])}); here: this evaluation"
    )
    if "values" in compared:
        return _of_values(compared, unit, title)
    figures = compared["figures"]
    heads = ("figure", "there", "here", "difference", "95 % interval")
    several = "accuracy" not in figures
    lines = [
        (
            WORDS[name] + (", at the thresholds there" if several and name in AT_THRESHOLDS else ""),
            *_cells(figures[name]),
        )
        for name in (ALL if several else (*ALL_CLASSES, EXPECTED))
    ]
    if compared["unlike"]:
        lines.append((WORDS["unlike"], *_cells(compared["unlike"])))
    found = [Table(heads, lines, title)]
    classes = compared["classes"]
    found.append(_by_class(classes, (*COMMON, *(name for name in ("auc", *EACH[1:]) if _has(classes, name)))))
    # Two classes are one probability: what is said of the one is said of the other.
    fitting = dict(list(classes.items())[-1:]) if len(classes) == 2 and not several else classes  # noqa: PLR2004
    found.append(_by_class(fitting, CALIBRATION))
    found.append(_by_threshold(compared["thresholds"]))
    return found


def _has(classes: Mapping[str, Any], name: str) -> bool:
    return any(name in its for its in classes.values())


def _of_values(compared: Mapping[str, Any], unit: str, title: str) -> list[Table]:
    heads = ("value", "figure", "there", "here", "difference", "95 % interval")
    in_unit, bare = _say(_spoken(compared, unit)), _say(Spoken(values=True, digits=2))
    lines = [("", WORDS["unlike"], *_cells(compared["unlike"]))] if compared["unlike"] else []
    for value, its in compared["values"].items():
        for name in (*KNOWN, *FIGURES):
            say = bare if name == values_report.WITHOUT_UNIT else in_unit
            words = KNOWN_WORDS.get(name) or values_report.WORDS[name]
            lines.append((value, words, *_cells(its[name], say)))
    return [Table(heads, lines, title)]


def _by_class(classes: Mapping[str, Any], names: Sequence[str]) -> Table:
    """Return figures of each class: a line for each, both sides and the interval of the difference in a cell."""
    heads = ("class", *(f"{WORDS[name]}: there → here" for name in names))
    return Table(heads, [(name, *(_arrow(its[each]) for each in names)) for name, its in classes.items()])


def _by_threshold(thresholds: Mapping[str, Any]) -> Table:
    heads = ("class", "called by", "threshold", *(f"{WORDS[share]}: there → here" for share in SHARES))
    lines = []
    for name, each in thresholds.items():
        how = {
            HALF: "0.5",
            MOST_PROBABLE: "the most probable",
            RECALL: f"recall {each.get('target_recall', 0):g} on {VALIDATION} there",
        }
        words = how.get(each["picked"], f"best F1 on {VALIDATION} there")
        limit = "none" if each["threshold"] is None else f"{each['threshold']:.4f}"
        lines.append((name, words, limit, *(_arrow(each[share]) for share in SHARES)))
        again = each.get("here_for_that_recall")
        if again:
            shares = (_share(again[share]) for share in SHARES)
            lines.append(
                (name, f"recall {each['target_recall']:g} on these pictures", f"{again['threshold']:.4f}", *shares)
            )
    return Table(heads, lines)


def _cells(each: Mapping[str, Any], say: Say | None = None) -> tuple[str, str, str, str]:
    """Return a figure as the cells of a row."""
    say = say or _share
    difference = "" if each["difference"] is None else _with_sign(each["difference"], say)
    bounds = "" if each["interval"] is None else " to ".join(_with_sign(end, say) for end in each["interval"])
    return say(each["there"]), say(each["here"]), difference, bounds


def _arrow(each: Mapping[str, Any]) -> str:
    words = f"{_share(each['there'])} → {_share(each['here'])}"
    if each["interval"] is None:
        return words
    low, high = each["interval"]
    return f"{words} ({_with_sign(low, _share)} to {_with_sign(high, _share)})"


def _spoken(compared: Mapping[str, Any], unit: str) -> Spoken:
    """Return how values are written: three digits of the smallest error count."""
    errors = [its["mae"][side] for its in compared["values"].values() for side in ("there", "here")]
    return Spoken(values=True, unit=unit, digits=digits_for(min((each for each in errors if each), default=0.0)))


def _say(spoken: Spoken) -> Say:
    """Return how a value is written that may not be defined."""
    return lambda value: "none" if value is None else spoken.answer(value)


def _share(value: float | None) -> str:
    """Return a figure with three digits behind the point."""
    return "none" if value is None else f"{value:.3f}".replace("-", "−")


def _with_sign(value: float, say: Say) -> str:
    return ("+" if value > 0 else "") + say(value)


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if interval is None:
        return _share(value)
    return f"{_share(value)} ({_share(interval[0])} to {_share(interval[1])})"


def _split(name: str) -> str:
    return "all splits" if name == "all" else f"the {name} split"


def _named(names: Sequence[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

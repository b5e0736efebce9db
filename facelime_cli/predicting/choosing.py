"""Which pictures of a dataset a command takes: the same options everywhere, and what they choose.

What an option chooses counts, not how it was typed: the list of the chosen pictures is what makes an artifact. So two
ways to choose the same pictures lead to one artifact, every shard finds the same one, and a list that has changed
since leads to another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from facelime_cli.answering import runtimes
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.models.backbones import YES_OR_NO
from facelime_cli.names import class_indices, comma_separated, rows_of, whole_number
from facelime_cli.options import Choice, Heading, Input, Resolved
from facelime_cli.sources import SPLITS
from facelime_cli.store.pictures import Segmented, is_multilabel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.expressions import Expression
    from facelime_cli.store.artifacts import Artifact

    Bools = NDArray[np.bool_]

PICTURES = Heading("Pictures")
COUNTS = Resolved(("pictures",))
"""What is chosen counts: the list of pictures."""
ALL = "all"
HALF = 0.5
"""The threshold of a class or finding for which none was picked."""
MOST_CHOSEN = 1_000_000_000
MOST_NAMED = 12
"""Columns that a message names."""
OWN_COLUMNS = ("id", "group", "split", "class")
"""What --where may ask for beside the columns of the table; a column of the table with such a name comes first."""
OF_ANSWERS = {
    "predicted": "--predicted",
    "mistakes": "--mistakes",
    "confident": "--confident",
    "uncertain": "--uncertain",
    "around_threshold": "--around-threshold",
}
"""Options that need the answers of a model."""
RANKING = ("mistakes", "confident", "uncertain", "around_threshold")
"""Those of them that take so many from the top of an order."""


def _option(words: str, *names: str, **more: Any) -> Any:
    return Option(*names, help=words, show_default=False, **more)


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """The options that choose among the pictures of a dataset, in the order in which they are applied."""

    split: Annotated[
        str | None,
        Choice(SPLITS),
        _option("Use only the pictures of this split. [default: all]"),
        COUNTS,
        PICTURES,
    ] = None
    images: Annotated[
        str | None,
        _option(
            "Use only these pictures, by id or its last part. Put an id with a comma in double quotes. [default: all]",
            metavar="ID,…",
        ),
        COUNTS,
        PICTURES,
    ] = None
    listed: Annotated[
        Path | None,
        _option(
            "Use only the pictures that this text file names, an id or its last part in each line, as `list` prints "
            "them. - reads standard input.",
            "--from",
            metavar="FILE",
        ),
        COUNTS,
        PICTURES,
    ] = None
    true_class: Annotated[
        str | None,
        _option(
            "Use only pictures of one of these classes, or that show one of these findings, by the dataset's labels.",
            "--class",
            metavar="A,B,…",
        ),
        COUNTS,
        PICTURES,
    ] = None
    where: Annotated[
        str | None,
        _option(
            "Use only pictures whose table columns fit, such as \"age > 60 and sex == 'female'\". There are ==, !=, <, "
            "<=, >, >=, in (…), is empty, not, and, or and parentheses. A name with spaces stands in square brackets. "
            "Without a column of that name, id, group, split and class are there too.",
            metavar="EXPR",
        ),
        COUNTS,
        PICTURES,
    ] = None
    from_evaluation: Annotated[
        str | None,
        _option(
            "Use only the pictures of this evaluation, whose answers the next five options read.",
            metavar="EVALUATION",
        ),
        Input(("evaluations",)),
        COUNTS,
        PICTURES,
    ] = None
    predicted: Annotated[
        str | None,
        _option(
            "Use only pictures to which the model gives one of these classes or findings.",
            metavar="A,B,…",
        ),
        COUNTS,
        PICTURES,
    ] = None
    mistakes: Annotated[
        str | None,
        _option(
            "Use the N pictures that the model gets wrong and is surest of; of values those that are farthest off.",
            metavar=f"N|{ALL}",
        ),
        COUNTS,
        PICTURES,
    ] = None
    confident: Annotated[
        int | None,
        _option("Use the N pictures whose answer the model is surest of.", min=1, metavar="N"),
        COUNTS,
        PICTURES,
    ] = None
    uncertain: Annotated[
        int | None,
        _option(
            "Use the N pictures whose two most probable classes are nearest to each other.",
            min=1,
            metavar="N",
        ),
        COUNTS,
        PICTURES,
    ] = None
    around_threshold: Annotated[
        int | None,
        _option(
            "Use the N pictures nearest to a threshold of the evaluation; for two classes without one, it is 0.5.",
            min=1,
            metavar="N",
        ),
        COUNTS,
        PICTURES,
    ] = None
    from_check: Annotated[
        str | None,
        _option("Read the verdicts of this check, for --verdict.", metavar="CHECK"),
        Input(("checks",)),
        COUNTS,
        PICTURES,
    ] = None
    verdict: Annotated[
        str | None,
        _option(
            'Use only pictures with one of these verdicts, such as "not confirmed". It is that of the most probable '
            "class that was checked; of findings and values, of any.",
            metavar="A,B,…",
        ),
        COUNTS,
        PICTURES,
    ] = None
    random: Annotated[
        int | None,
        _option(
            "Use N of the pictures that are left, drawn at random. A larger N keeps those of a smaller one.",
            min=1,
            metavar="N",
        ),
        COUNTS,
        PICTURES,
    ] = None
    seed: Annotated[
        int | None,
        _option("Draw other pictures for --random with another seed. [default: 0]", min=0),
        COUNTS,
        PICTURES,
    ] = None
    first: Annotated[
        int | None,
        _option("Use only the first N, after the other filters. [default: all]", min=1, metavar="N"),
        COUNTS,
        PICTURES,
    ] = None


NAMES = tuple(each.name for each in fields(Choosing))
"""The options by the names of their fields."""
TYPED = {"listed": "--from", "true_class": "--class"}


def typed_name(name: str) -> str:
    """Return an option of `Choosing` as it is typed."""
    return TYPED.get(name, f"--{name.replace('_', '-')}")


def choosing_of(params: Any) -> Choosing:
    """Return what the parameters of a command choose, when they have other options too.

    Parameters
    ----------
    params : dataclass
        With the fields of `Choosing`. Its seed may draw other things too, so it counts with --random alone.

    Returns
    -------
    Choosing
    """
    given = {name: getattr(params, name) for name in NAMES}
    return Choosing(**(given | ({} if params.random is not None else {"seed": None})))


def given(params: Any) -> dict[str, Any]:
    """Return the options of `Choosing` that were given, by the names of their fields."""
    return {name: getattr(params, name) for name in NAMES if getattr(params, name) is not None}


def facts(params: Choosing, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """Return how pictures were chosen, as the facts of an artifact keep it.

    Parameters
    ----------
    params : Choosing
    inputs : mapping
        With the evaluation and the check, where they are given.

    Returns
    -------
    dict
        The first three options always, others where they were given. A file by its name alone: paths are of this
        machine.
    """
    found = {"split": params.split, "images": params.images, "first": params.first, **given(params)}
    if params.listed is not None:
        found["listed"] = params.listed.name
    return found | {name: inputs[name].reference for name in ("from_evaluation", "from_check") if name in inputs}


def refuse_early(params: Choosing) -> None:
    """Refuse options that contradict each other, lack another one, or have no sense.

    Parameters
    ----------
    params : Choosing

    Raises
    ------
    CommandLineError
    """
    if params.images is not None and params.listed is not None:
        raise CommandLineError("--images and --from both name pictures; leave one of them out.")
    if params.seed is not None and params.random is None:
        raise CommandLineError(f"--seed {params.seed} draws pictures for --random N; add it, or leave the seed out.")
    asking = [OF_ANSWERS[name] for name in given(params) if name in OF_ANSWERS]
    if asking and params.from_evaluation is None:
        raise CommandLineError(
            f"{asking[0]} reads a model's answers; name its evaluation with --from-evaluation, which "
            "`facelime evaluate` makes."
        )
    if (params.verdict is None) != (params.from_check is None):
        lacks, has = ("--from-check", "--verdict") if params.from_check is None else ("--verdict", "--from-check")
        raise CommandLineError(f"{has} means nothing without {lacks}; give both, or neither.")
    wanted = None if params.mistakes is None else _number_of_mistakes(params.mistakes)
    ranking = [name for name in RANKING if getattr(params, name) is not None and (name != "mistakes" or wanted)]
    if len(ranking) > 1:
        first, second = (OF_ANSWERS[name] for name in ranking[:2])
        advice = f", or ask for --mistakes {ALL}" if first == OF_ANSWERS["mistakes"] else ""
        raise CommandLineError(f"{first} and {second} each take the top of another order; leave one out{advice}.")
    if params.where is not None:
        _expression(params.where)
    if params.verdict is not None:
        _verdicts(params.verdict)


def chosen(
    params: Choosing, dataset: Artifact, inputs: Mapping[str, Artifact], among: Sequence[int] | None = None
) -> list[int]:
    """Return the rows of a dataset that the options choose.

    Parameters
    ----------
    params : Choosing
    dataset : Artifact
    inputs : mapping
        With `from_evaluation` and `from_check`, where they are given.
    among : sequence of int, optional
        The rows to choose among; by default all.

    Returns
    -------
    list of int
        In the order of the dataset; after an option that ranks, in its order.

    Raises
    ------
    FacelimeError
        When an option is wrong, or leaves no picture.
    """
    refuse_early(params)
    ids = dataset.texts("id")
    every = list(range(len(ids)) if among is None else among)
    rows = _named(params, ids, every, _of_split(params, dataset, every))
    answers = None if "from_evaluation" not in inputs else _Answers(inputs["from_evaluation"], dataset)
    for option, fits in _filters(params, dataset, inputs, answers):
        left = [row for row in rows if fits[row]]
        if not left:
            raise FacelimeError(
                f"{option} leaves none of the {len(rows)} pictures of {dataset.reference} that it chooses among; "
                "change it, or leave it out."
            )
        rows = left
    if answers is not None:
        rows = answers.ranked(params, rows)
    return _drawn(params, ids, rows)[: params.first]


def _of_split(params: Choosing, dataset: Artifact, every: list[int]) -> list[int]:
    if params.split is None:
        return every
    split, number = dataset.read("split"), SPLITS.index(params.split)
    rows = [row for row in every if split[row] == number]
    if not rows:
        raise FacelimeError(
            f"{dataset.reference} has no pictures in its {params.split} split; "
            "leave --split out, or preprocess with another --split."
        )
    return rows


def _named(params: Choosing, ids: list[str], every: list[int], rows: list[int]) -> list[int]:
    """Return the rows among all that --images or --from name; each of them must be among those that are left."""
    if params.images is not None:
        names = [name.strip() for name in comma_separated(params.images) if name.strip()]
        if not names:
            raise CommandLineError(f"--images {params.images!r} names no picture; give ids with commas between them.")
    elif params.listed is not None:
        names = lines_of(params.listed)
    else:
        return rows
    wanted = [every[place] for place in rows_of(names, [ids[row] for row in every])]
    left = set(rows)
    gone = [ids[row] for row in wanted if row not in left]
    if gone:
        raise FacelimeError(f"{gone[0]} is not in the {params.split} split; leave --split out.")
    # The order of the words does not matter: the same pictures are the same artifact.
    return sorted(set(wanted))


def lines_of(file: Path) -> list[str]:
    """Return the ids that a text file names.

    Parameters
    ----------
    file : Path
        One id in each line.

    Raises
    ------
    NotFoundError, FacelimeError
        When it cannot be read, is no text, or names nothing.
    """
    from facelime_cli.core.opening import opened, reason_of

    try:
        with opened(file) as stream:
            text = stream.read().decode("utf-8-sig")
    except OSError as why:
        raise NotFoundError(f"--from {file} cannot be read ({reason_of(why)}); give a file with an id a line.") from why
    except UnicodeDecodeError as why:
        raise FacelimeError(f"--from {file} is no UTF-8 text; give a file with an id in each line.") from why
    return lines_in(text, f"--from {file}")


def lines_in(text: str, what: str) -> list[str]:
    """Return the ids in a text, one in each line that is not empty.

    Parameters
    ----------
    text : str
    what : str
        Where it comes from, for the message.

    Raises
    ------
    FacelimeError
        When there is none.
    """
    names = [line.strip() for line in text.split("\n") if line.strip()]
    if not names:
        raise FacelimeError(f"{what} names no picture; put an id in each line, as `facelime list` prints them.")
    return names


def _filters(
    params: Choosing, dataset: Artifact, inputs: Mapping[str, Artifact], answers: _Answers | None
) -> Iterator[tuple[str, Bools]]:
    """Yield each filter as it was typed, with the pictures of the dataset that fit it: (N,) bool."""
    if params.true_class is not None:
        yield f"--class {params.true_class}", _of_classes(params.true_class, dataset)
    if params.where is not None:
        yield f'--where "{params.where}"', _fitting(params.where, dataset)
    if answers is not None:
        yield f"--from-evaluation {params.from_evaluation}", answers.there
        if params.predicted is not None:
            yield f"--predicted {params.predicted}", answers.predicted(params.predicted)
        if params.mistakes is not None:
            yield f"--mistakes {params.mistakes}", answers.wrong
    if params.verdict is not None:
        yield f"--verdict {params.verdict}", _with_verdict(params.verdict, inputs["from_check"], dataset)


def _of_classes(text: str, dataset: Artifact) -> Bools:
    import numpy as np

    from facelime_cli.core.labels import having

    names = dataset.facts["classes"]
    if not names:
        raise FacelimeError(f"--class {text}: {dataset.reference} has no classes; leave it out.")
    labels = dataset.read("labels")
    return np.asarray(np.any([having(labels, c) for c in class_indices(text, names)], axis=0))


# Table columns


def _expression(text: str) -> Expression:
    from facelime_cli.core.expressions import ExpressionError, parse

    try:
        return parse(text)
    except ExpressionError as why:
        raise CommandLineError(
            f"--where {text[:200]!r} is no condition: {why}; write it such as \"age > 60 and sex == 'female'\"."
        ) from why


def _fitting(text: str, dataset: Artifact) -> Bools:
    """Return which pictures a condition holds for."""
    from facelime_cli.core.expressions import ExpressionError

    expression = _expression(text)
    columns = {name: _column(name, dataset) for name in expression.columns}
    try:
        return expression.holds(columns)
    except ExpressionError as why:
        raise FacelimeError(
            f"--where {text[:200]!r}: {why}; put quotes around texts, and none around numbers."
        ) from why


def _column(name: str, dataset: Artifact) -> NDArray[Any]:
    """Return a column by its name: of the table, or what every dataset has."""
    import numpy as np

    known = dataset.facts.get("columns", [])
    if name in known:
        values = dataset.read(f"table/{name}")
        return values if values.dtype.kind == "f" else np.array([str(each).strip() for each in values], dtype=object)
    if name in {"id", "group"}:
        return np.array(dataset.texts(name), dtype=object)
    if name == "split":
        names: list[str] = list(SPLITS)
        return _words(names, dataset.read("split"))
    if name == "class" and not is_multilabel(dataset) and dataset.facts["classes"]:
        return _words(dataset.facts["classes"], dataset.read("labels"))
    more = ", …" if len(known) > MOST_NAMED else ""
    there = f"its columns are {', '.join(known[:MOST_NAMED])}{more}" if known else "it was made without a table"
    raise FacelimeError(
        f"--where: {dataset.reference} has no column {name!r}; {there}, and {', '.join(OWN_COLUMNS)} are there too."
    )


def _words(names: Sequence[str], numbers: NDArray[Any]) -> NDArray[Any]:
    """Return the name of each number, nothing for -1."""
    import numpy as np

    return np.array([names[number] if number >= 0 else "" for number in numbers.tolist()], dtype=object)


# Answers


def _number_of_mistakes(text: str) -> int | None:
    """Return how many mistakes are wanted, None for all of them."""
    if text == ALL:
        return None
    number = whole_number(text, 1, MOST_CHOSEN)
    if number is None:
        raise CommandLineError(f"--mistakes {text!r} should be a whole number from 1 on, or {ALL}.")
    return number


class _Answers:
    """What a model says of the pictures of a dataset, from an evaluation."""

    def __init__(self, evaluation: Artifact, dataset: Artifact) -> None:
        if evaluation.inputs["dataset"]["digest"] != dataset.content:
            its = evaluation.inputs["dataset"]
            raise FacelimeError(
                f"--from-evaluation: {evaluation.reference} is about {its['kind']}/{its['id']}, not about "
                f"{dataset.reference}; name an evaluation on this dataset."
            )
        self._evaluation, self._n = evaluation, dataset.n
        self._rows = evaluation.read("row")
        self._labels, self._answers = evaluation.read("labels"), evaluation.read("probabilities")
        self._names: list[str] = evaluation.facts["classes"]
        self._picked: dict[str, float] = {
            name: float(each["threshold"]) for name, each in evaluation.facts.get("thresholds", {}).items()
        }

    def _spread(self, values: NDArray[Any], elsewhere: Any) -> NDArray[Any]:
        """Return values of the evaluation's pictures as those of all pictures of the dataset: (N,)."""
        import numpy as np

        found = np.full(self._n, elsewhere, values.dtype)
        found[self._rows] = values
        return found

    @property
    def _thresholds(self) -> NDArray[np.float64] | None:
        """The threshold of each finding; None where each picture gets its most probable class."""
        import numpy as np

        if self._labels.ndim == 1:
            return None
        return np.array([self._picked.get(name, HALF) for name in self._names])

    def _refuse_values(self, option: str) -> None:
        if self._labels.dtype.kind == "f":
            raise FacelimeError(
                f"{option} is about probabilities, and {self._evaluation.reference} is of a model that answers with "
                "values; use --mistakes N for the largest errors."
            )

    @property
    def there(self) -> Bools:
        """Which pictures of the dataset it answered."""
        import numpy as np

        return self._spread(np.ones(len(self._rows), bool), elsewhere=False)

    def predicted(self, text: str) -> Bools:
        """Return to which pictures it gives one of some classes."""
        import numpy as np

        from facelime_cli.core import sureness

        self._refuse_values("--predicted")
        its = sureness.predicted(self._answers, self._thresholds)
        chosen = class_indices(text, self._names)
        return self._spread(np.any(its[:, chosen], axis=1), elsewhere=False)

    @property
    def _mistakes(self) -> NDArray[np.float64]:
        from facelime_cli.core import sureness

        return self._spread(sureness.mistakes(self._answers, self._labels, self._thresholds), sureness.NONE)

    @property
    def wrong(self) -> Bools:
        """Which pictures it gets wrong."""
        from facelime_cli.core import sureness

        return self._mistakes > sureness.NONE

    def ranked(self, params: Choosing, rows: list[int]) -> list[int]:
        """Return the pictures from the top of the order that the options ask for."""
        if params.mistakes is not None:
            rows = _top(self._mistakes, rows, _number_of_mistakes(params.mistakes))
        if params.confident is not None:
            rows = _top(self._sureness("--confident"), rows, params.confident)
        if params.uncertain is not None:
            rows = _top(-self._sureness("--uncertain"), rows, params.uncertain)
        if params.around_threshold is not None:
            rows = _top(-self._distance(), rows, params.around_threshold)
        return rows

    def _sureness(self, option: str) -> NDArray[np.float64]:
        from facelime_cli.core import sureness

        self._refuse_values(option)
        return self._spread(sureness.sureness(self._answers, self._thresholds), 0.0)

    def _distance(self) -> NDArray[np.float64]:
        """Return how far each picture is from the nearest threshold."""
        import numpy as np

        from facelime_cli.core import sureness

        self._refuse_values("--around-threshold")
        limits = self._thresholds
        columns = list(range(len(self._names)))
        if limits is None:
            columns = [c for c, name in enumerate(self._names) if name in self._picked] or columns
            limits = np.array([self._picked.get(self._names[c], HALF) for c in columns])
        if self._labels.ndim == 1 and not self._picked and len(columns) > YES_OR_NO:
            raise FacelimeError(
                f"--around-threshold: {self._evaluation.reference} has {len(columns)} classes and no threshold; "
                "evaluate with --target-recall CLASS=RECALL, or use --uncertain N."
            )
        return self._spread(sureness.sureness(self._answers[:, columns], limits), 0.0)


def _top(values: NDArray[np.float64], rows: Sequence[int], n: int | None) -> list[int]:
    """Return the rows with the largest values, the largest first; of equal ones the first of the dataset."""
    return sorted(rows, key=lambda row: (-values[row], row))[:n]


# Verdicts


def _verdicts(text: str) -> list[str]:
    """Return the verdicts that a list names; hyphens may stand for spaces."""
    from facelime_cli.core.verdict import WORDS

    by_letters = {_letters(each.text): each.text for each in WORDS}
    found = [by_letters.get(_letters(name)) for name in comma_separated(text)]
    if not found or None in found:
        raise CommandLineError(f"--verdict {text!r} is none; the verdicts are {', '.join(by_letters.values())}.")
    return [each for each in found if each is not None]


def _letters(text: str) -> str:
    return text.strip().lower().replace("-", " ")


def _with_verdict(text: str, check: Artifact, dataset: Artifact) -> Bools:
    """Return which pictures have one of some verdicts."""
    import numpy as np

    from facelime_cli.core.verdict import known, word_of

    its = Segmented(check).dataset
    if its.content != dataset.content:
        raise FacelimeError(
            f"--from-check: {check.reference} is about {its.reference}, not about {dataset.reference}; name a check of "
            "this dataset's pictures."
        )
    wanted = set(_verdicts(text))
    model = check.input("models")
    whichever = runtimes.independent(model) or runtimes.answers_values(model)
    found = np.zeros(dataset.n, bool)
    rows = check.read("row")
    for unit in range(check.n_units):
        places = check.rows(unit)
        verdicts = check.read("verdict", places)
        # The first question under each fill is the unchanged picture. Members of a mean answer behind the classes.
        answers = check.read("probabilities", places)[:, 0, 0, : verdicts.shape[1]]
        for row, words, its_answers in zip(rows[places], verdicts, answers, strict=True):
            checked = [c for c in np.argsort(-its_answers, kind="stable") if words[c]]
            heard = checked if whichever else checked[:1]
            found[row] = any(word_of(known(str(words[c]))).text in wanted for c in heard)
    return found


def _drawn(params: Choosing, ids: Sequence[str], rows: list[int]) -> list[int]:
    """Return the pictures that --random draws, in the order in which they were.

    Which they are follows from seed and id alone: neither a version of a library nor another picture changes it.
    """
    if params.random is None:
        return rows

    def lot(row: int) -> bytes:
        return hashlib.sha256(f"{params.seed or 0}\n{ids[row]}".encode()).digest()

    drawn = set(sorted(rows, key=lot)[: params.random])
    return [row for row in rows if row in drawn]

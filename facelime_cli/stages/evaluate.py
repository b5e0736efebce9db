"""Measure a model on labelled pictures: figures with intervals, curves, calibration, subgroups and its most confident mistakes.

Intervals of the bootstrap draw whole groups (patients, lesions), since pictures of one patient are no independent cases. A threshold for a wanted recall is picked on
the validation part, and reported on the part that is evaluated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer, Table
from facelime_cli.engine import Plan, Stage
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.models import runtimes
from facelime_cli.names import listing
from facelime_cli.options import Choice, Execution, Input
from facelime_cli.reporting import pages
from facelime_cli.sources import PARTS
from facelime_cli.store import digests, pictures
from facelime_cli.store.arrays import ArraySpec, Layout
from facelime_cli.store.files import write_csv, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facelime_cli.engine import Context, Pending, Result
    from facelime_cli.store.artifacts import Artifact

SPLITS = (*PARTS, "all")
FEWEST_GROUPS = 2
MOST_VALUES = 20
"""Text columns with more values than that make no subgroups."""
UNIT_PICTURES = 512
"""Answers that are kept together: what a kill repeats at most."""
MOST_CLASSES = 100
"""With more classes than that, figures are about those that are true or predicted at least once."""
MOST_COLUMNS = 12
"""Classes up to which the confusion matrix is part of the table."""
SHARES = ("recall", "precision", "f1")
RESAMPLED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
FORMATS = ("png", "svg")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `evaluate`."""

    model: Annotated[
        str,
        Argument(metavar="MODEL", help="Model, or - to read it from standard input.", show_default=False),
        Input(("models",)),
    ]
    dataset: Annotated[
        str | None,
        Option(
            metavar="DATASET",
            show_default=False,
            help="Dataset with labels of the model's classes. [default: the one it was trained on]",
        ),
        Input(("datasets",)),
    ] = None
    split: Annotated[
        str,
        Choice(SPLITS),
        Option(help="Part of the dataset; `all` is for a dataset that the model was not trained on."),
    ] = "test"
    target_recall: Annotated[
        list[str] | None,
        Option(
            metavar="CLASS=RECALL",
            show_default=False,
            help="Pick the threshold on the validation part that reaches this recall of a class, such as pneumonia=0.95; may be repeated.",
        ),
    ] = None
    bootstrap: Annotated[int, Option(min=100, max=100_000, help="Rounds of the bootstrap by group.")] = 1000
    mistakes: Annotated[int, Option(min=1, max=60, help="How many of the most confident mistakes are shown.")] = 12
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap.")] = 0
    batch_size: Annotated[int, Option(min=1, max=4096, help="Pictures per call."), Execution()] = 32


@dataclass(frozen=True)
class Cases:
    """What is evaluated: rows of a dataset, their true classes in the model's own order, and their groups."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: list[str]


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Find the dataset, choose the pictures, and check that the classes are the same."""
    model = inputs["model"]
    dataset = inputs.get("dataset") or _own_dataset(model)
    runtimes.check_size(model, dataset, besides="")
    classes: list[str] = model.facts["classes"]
    fold = pictures.tested_fold(dataset, model.facts.get("fold") if _trained_on(model, dataset) else None)
    cases = _cases(dataset, params.split, fold, classes)
    targets = _targets(params.target_recall or [], classes)
    validation = _cases(dataset, "validation", fold, classes) if targets else None
    for name in targets:
        if params.split in {"validation", "all"}:
            raise FacelimeError(
                f"--target-recall {name} is picked on the validation part and reported on another; choose another --split than {params.split}."
            )
        if validation is None or not (validation.labels == classes.index(name)).any():
            raise FacelimeError(
                f"--target-recall {name} needs pictures of {name} in the validation part, and datasets/{dataset.id} has none there; preprocess the source with another --split."
            )
    parameters = {
        "split": params.split,
        "fold": fold,
        "target_recall": targets,
        "bootstrap": params.bootstrap,
        "mistakes": params.mistakes,
        "seed": params.seed,
    }

    def prepare() -> Layout:
        return _layout(dataset, cases, classes, params.batch_size)

    def work(artifact: Artifact, units: Pending) -> None:
        _predict(model, dataset, cases, units, context, artifact.execution["batch_size"])

    def finish(artifact: Artifact) -> tuple[dict[str, Any], list[str]]:
        report = _Report(artifact, model, dataset, cases, params, context)
        thresholds = {} if validation is None else report.thresholds(targets, validation)
        return report.write(thresholds)

    return Plan(
        parameters, f"{model.name}-{params.split}", prepare, work, {"model": model, "dataset": dataset}, finish=finish
    )


def _own_dataset(model: Artifact) -> Artifact:
    if "dataset" not in model.inputs:
        raise FacelimeError(
            f"models/{model.id} was not trained here, so there is no dataset of its own; name one with --dataset."
        )
    return model.input("datasets")


def _trained_on(model: Artifact, dataset: Artifact) -> bool:
    return bool(model.inputs.get("dataset", {}).get("digest") == dataset.content)


def _targets(texts: Iterable[str], classes: Sequence[str]) -> dict[str, float]:
    """Return the wanted recall of each class that --target-recall names."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            recall = float(value)
        except ValueError:
            recall = -1.0
        if name not in classes or not 0 < recall <= 1:
            raise CommandLineError(
                f"--target-recall {text!r} should be CLASS=RECALL with a recall of more than 0 up to 1; the classes are {', '.join(classes[:8])}."
            )
        if name in found:
            raise CommandLineError(f"--target-recall names {name} twice; leave one of the two.")
        found[name] = recall
    return found


def _cases(dataset: Artifact, split: str, fold: int | None, classes: Sequence[str]) -> Cases:
    """Return the labelled pictures of a part, their classes by name in the order of the model's."""
    import numpy as np

    own: list[str] = dataset.facts["classes"]
    lost = next((name for name in own if list(classes).count(name) != 1), None)
    if lost is not None or not own:
        what = "no labels" if lost is None else f"the class {lost!r}"
        raise FacelimeError(
            f"datasets/{dataset.id} has {what}, and the model's classes are {', '.join(classes[:8])}; rename classes with `preprocess --class-names`, or choose another dataset."
        )
    labels, parts = dataset.read("labels").astype(np.int64), pictures.splits_of(dataset, fold)
    chosen = (labels >= 0) & ((parts == PARTS.index(split)) if split != "all" else True)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise FacelimeError(
            f"datasets/{dataset.id} has no labelled pictures in its {split} part; choose another --split."
        )
    groups = dataset.texts("group")
    return Cases(rows, np.array([classes.index(name) for name in own])[labels[rows]], [groups[row] for row in rows])


def _layout(dataset: Artifact, cases: Cases, classes: Sequence[str], batch_size: int) -> Layout:
    import numpy as np

    ids = dataset.texts("id")
    constants = {
        "id": np.array([ids[row] for row in cases.rows], dtype=object),
        "row": cases.rows.astype(np.int32),
        "labels": cases.labels.astype(np.int16),
        "group": np.array(cases.groups, dtype=object),
    }
    arrays = {"probabilities": ArraySpec("float32", (len(cases.rows), len(classes)), ("picture", "class"))}
    return Layout(
        len(cases.rows),
        arrays,
        {name: (values, ("picture",)) for name, values in constants.items()},
        {"classes": list(classes)},
        UNIT_PICTURES,
        {"batch_size": min(batch_size, UNIT_PICTURES, len(cases.rows))},
    )


def _predict(
    model: Artifact, dataset: Artifact, cases: Cases, units: Pending, context: Context, batch_size: int
) -> None:
    import numpy as np

    from facelime_cli.models import running, runtimes

    call, read = runtimes.load(model, runtimes.usual(model)).forward, pictures.reader(dataset)
    with context.console.progress("evaluate", units.pictures) as advance:
        for unit in units:
            gathered = []
            for answered in running.answers(
                call, running.Part(read, cases.rows[unit.rows], cases.labels[unit.rows]), batch_size
            ):
                gathered.append(answered)
                advance(len(answered))
            unit.finish({"probabilities": np.concatenate(gathered)})


class _Report:
    """Everything that one evaluation's figures, tables and page are made from."""

    def __init__(
        self, artifact: Artifact, model: Artifact, dataset: Artifact, cases: Cases, params: Params, context: Context
    ) -> None:
        self._artifact, self._model, self._dataset, self._cases, self._params, self._context = (
            artifact,
            model,
            dataset,
            cases,
            params,
            context,
        )
        self._probabilities = artifact.read("probabilities")
        self._ids = artifact.texts("id")
        self._classes: list[str] = model.facts["classes"]
        self._seen = _seen_in_training(model, dataset, cases)

    def thresholds(self, targets: Mapping[str, float], validation: Cases) -> dict[str, Any]:
        """Return for each wanted recall the threshold that the validation part gives, and what it means there and here."""
        import numpy as np

        from facelime_cli.core import metrics
        from facelime_cli.models import running, runtimes

        part = running.Part(pictures.reader(self._dataset), validation.rows, validation.labels)
        call = runtimes.load(self._model, runtimes.usual(self._model)).forward
        before = np.concatenate(list(running.answers(call, part, self._artifact.execution["batch_size"])))
        found = {}
        for name, recall in targets.items():
            c = self._classes.index(name)
            threshold = metrics.threshold_for(validation.labels == c, before[:, c], recall)
            found[name] = {
                "target_recall": recall,
                "threshold": threshold,
                "validation": metrics.at_threshold(validation.labels == c, before[:, c], threshold),
                self._params.split: metrics.at_threshold(self._cases.labels == c, self._probabilities[:, c], threshold),
            }
        return found

    def write(self, thresholds: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Write tables, charts and the page, and return the facts and the names of the files."""
        seen = seen_sentence(self._seen, len(self._cases.rows))
        if seen:
            self._context.console.warn(seen)
        facts = {
            **self._figures(),
            "seen_in_training": {**self._seen, "sentence": seen},
            "thresholds": thresholds,
            "subgroups": self._subgroups(),
            "mistakes": self._mistakes(),
            "leakage": self._dataset.facts.get("leakage", {}).get("sentences", []),
        }
        tables = {
            "figures.csv": _figure_rows(facts),
            "subgroups.csv": [
                ("column", "value", "n", "right", "accuracy", "low", "high"),
                *(tuple(each.values()) for each in facts["subgroups"]),
            ],
            "predictions.csv": [("id", "group", "label", "predicted", *self._classes), *self._prediction_rows()],
        }
        for name, rows in tables.items():
            write_csv(self._artifact.file(name), rows)
        charts = self._charts(facts)
        write_whole(self._artifact.file("metrics.json"), json.dumps(facts, indent=1, ensure_ascii=False).encode())
        write_whole(self._artifact.file("index.html"), self._page(facts).encode())
        return facts, [*tables, *charts, "metrics.json", "index.html"]

    def _figures(self) -> dict[str, Any]:
        import numpy as np

        from facelime_cli.core import metrics

        labels, probabilities = self._cases.labels, self._probabilities
        shown = self._shown()
        place = np.searchsorted(shown, labels)
        found = metrics.figures(place, probabilities[:, shown], [self._classes[c] for c in shown])
        right = int((probabilities.argmax(axis=1) == labels).sum())
        intervals: dict[str, Any] = dict.fromkeys(RESAMPLED)
        groups = len(set(self._cases.groups))
        if groups >= FEWEST_GROUPS:
            rounds = metrics.rounds_by_group(self._cases.groups, self._params.bootstrap, self._params.seed)
            intervals = {
                name: metrics.interval(values)
                for name, values in metrics.resampled(labels, probabilities, rounds).items()
            }
        calibration = vars(metrics.reliability(labels, probabilities))
        return {
            **found,
            "right": right,
            "groups": groups,
            "accuracy_interval": list(metrics.wilson(right, len(labels))),
            "bootstrap_intervals": intervals,
            "calibration": calibration,
        }

    def _shown(self) -> NDArray[np.int64]:
        """Return the classes that the figures are about."""
        import numpy as np

        every = np.arange(len(self._classes))
        return (
            every if len(every) <= MOST_CLASSES else np.union1d(self._cases.labels, self._probabilities.argmax(axis=1))
        )

    def _subgroups(self) -> list[dict[str, Any]]:
        """Return the accuracy of the pictures that share a value of a table column; numbers in quarters."""
        import numpy as np

        from facelime_cli.core import metrics

        right = self._probabilities.argmax(axis=1) == self._cases.labels
        found = []
        for column in self._dataset.facts.get("columns", []):
            values = self._dataset.read(f"table/{column}")[self._cases.rows]
            numbers = values.dtype.kind == "f"
            texts = metrics.bands(values) if numbers else [str(value) or metrics.UNKNOWN for value in values]
            names = (
                dict.fromkeys(texts[place] for place in np.argsort(values, kind="stable"))
                if numbers
                else sorted(set(texts))
            )
            for name in names if len(names) <= MOST_VALUES else ():
                chosen = right[np.array([text == name for text in texts])]
                low, high = metrics.wilson(int(chosen.sum()), len(chosen))
                found.append(
                    {
                        "column": column,
                        "value": name,
                        "n": len(chosen),
                        "right": int(chosen.sum()),
                        "accuracy": float(chosen.mean()),
                        "low": low,
                        "high": high,
                    }
                )
        return found

    def _mistakes(self) -> list[dict[str, Any]]:
        """Return the wrong answers that the model is surest of."""
        predicted, sure = self._probabilities.argmax(axis=1), self._probabilities.max(axis=1)
        wrong = [place for place in (-sure).argsort(kind="stable") if predicted[place] != self._cases.labels[place]][
            : self._params.mistakes
        ]
        return [
            {
                "id": self._ids[place],
                "row": int(self._cases.rows[place]),
                "label": self._classes[self._cases.labels[place]],
                "predicted": self._classes[predicted[place]],
                "probability": float(sure[place]),
            }
            for place in wrong
        ]

    def _prediction_rows(self) -> Iterable[tuple[Any, ...]]:
        for place, (picture, group) in enumerate(zip(self._ids, self._cases.groups, strict=True)):
            values = self._probabilities[place]
            yield (
                picture,
                group,
                self._classes[self._cases.labels[place]],
                self._classes[int(values.argmax())],
                *(float(value) for value in values),
            )

    def _charts(self, facts: Mapping[str, Any]) -> list[str]:
        from facelime_cli.drawing import charts, curves

        labels, probabilities, classes = self._cases.labels, self._probabilities, self._classes
        made = _save(self._artifact, "confusion", curves.confusion(facts["confusion_matrix"], facts["classes"]))
        made += _save(self._artifact, "curves", curves.operating(labels, probabilities, classes))
        made += _save(self._artifact, "calibration", curves.reliability(facts["calibration"]))
        if facts["mistakes"]:
            images = self._dataset.read("images", sorted(each["row"] for each in facts["mistakes"]))
            place = {row: index for index, row in enumerate(sorted(each["row"] for each in facts["mistakes"]))}
            titles = [
                f"{each['label']}, called\n{each['predicted']} {100 * each['probability']:.0f} %"
                for each in facts["mistakes"]
            ]
            made += _save(
                self._artifact,
                "mistakes",
                charts.sheet(images[[place[each["row"]] for each in facts["mistakes"]]], titles),
            )
        return made

    def _page(self, facts: Mapping[str, Any]) -> str:
        subgroups = [
            (
                f"{each['column']}: {each['value']}",
                str(each["n"]),
                f"{100 * each['accuracy']:.1f} %",
                f"{100 * each['low']:.1f} to {100 * each['high']:.1f} %",
            )
            for each in facts["subgroups"]
        ]
        mistakes = [
            (each["id"], each["label"], each["predicted"], f"{100 * each['probability']:.1f} %")
            for each in facts["mistakes"]
        ]
        return pages.render(
            "evaluation.html",
            title=self._artifact.name,
            reference=f"{self._artifact.kind}/{self._artifact.id}",
            model=f"models/{self._model.id}",
            dataset=f"datasets/{self._dataset.id}",
            split=self._params.split,
            facts=facts,
            tables=summary(facts),
            subgroups=[("subgroup", "pictures", "accuracy", "95 % interval (Wilson)"), *subgroups],
            mistakes=[("picture", "label", "called", "probability"), *mistakes],
            command=explain_command(self._dataset, self._model, facts["mistakes"]),
            lineage=pages.origins([self._dataset, self._model]),
            software=self._model.software,
        )


def _seen_in_training(model: Artifact, dataset: Artifact, cases: Cases) -> dict[str, int]:
    """Return how many of the pictures the model was trained on, told by their pixels, and how many are of a patient or lesion that it was trained on."""
    if "dataset" not in model.inputs:
        return {}
    own = model.input("datasets")
    trained = _rows_of_training(model, own)
    if own.content == dataset.content:
        pictures = len(set(trained) & set(cases.rows.tolist()))
    else:
        pixels = set(_pixel_digests(own, trained))
        pictures = sum(each in pixels for each in _pixel_digests(dataset, cases.rows.tolist()))
    groups = own.texts("group")
    known = (
        {groups[row] for row in trained}
        if own.facts["groups"] < own.n and dataset.facts["groups"] < dataset.n
        else set()
    )
    return {"pictures": pictures, "of_a_trained_group": sum(group in known for group in cases.groups)}


def _rows_of_training(model: Artifact, own: Artifact) -> list[int]:
    import numpy as np

    return [
        int(row)
        for row in np.flatnonzero(
            pictures.splits_of(own, pictures.tested_fold(own, model.facts.get("fold"))) == PARTS.index("train")
        )
    ]


def _pixel_digests(dataset: Artifact, rows: Sequence[int]) -> list[str]:
    return [
        each
        for start in range(0, len(rows), UNIT_PICTURES)
        for each in digests.of_pictures(dataset.read("images", rows[start : start + UNIT_PICTURES]))
    ]


def seen_sentence(seen: Mapping[str, int], n: int) -> str | None:
    """Return what to say of pictures that the model was trained on; nothing when there is none."""
    said = []
    if seen.get("pictures"):
        said.append(f"the model was trained on {seen['pictures']} of these {n} pictures")
    if seen.get("of_a_trained_group", 0) > seen.get("pictures", 0):
        said.append(
            f"{seen['of_a_trained_group']} of these {n} are of a patient or lesion that the model was trained on"
        )
    return (
        f"{', and '.join(said)}: the figures say how well it remembers, not how well it will do on others."
        if said
        else None
    )


def explain_command(dataset: Artifact, model: Artifact, mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Return the command that explains the mistakes, to be copied into a shell."""
    import shlex

    return (
        shlex.join(
            [
                "facelime",
                "explain",
                f"datasets/{dataset.id}",
                "--model",
                f"models/{model.id}",
                "--images",
                listing(each["id"] for each in mistakes),
            ]
        )
        if mistakes
        else ""
    )


def _save(artifact: Artifact, name: str, figure: Figure) -> list[str]:
    from facelime_cli.drawing import figures

    made = [f"figures/{name}.{ending}" for ending in FORMATS]
    figures.write(figure, [artifact.file(each) for each in made])
    return made


def _figure_rows(facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return every figure as a row: its name, the class it is about, its value and its interval."""
    rows: list[tuple[Any, ...]] = [("figure", "class", "value", "low", "high", "interval")]
    rows.append(("accuracy", "", facts["accuracy"], *facts["accuracy_interval"], "Wilson"))
    rows += [
        (name, "", facts[name], *(facts["bootstrap_intervals"][name] or ("", "")), "bootstrap by group")
        for name in RESAMPLED
    ]
    rows.append(("expected_calibration_error", "", facts["calibration"]["expected_calibration_error"], "", "", ""))
    rows += [
        (name, each, "" if value is None else value, "", "", "")
        for name in SHARES
        for each, value in facts[name].items()
    ]
    for name, each in facts["thresholds"].items():
        here = each[next(part for part in each if part in SPLITS and part != "validation")]
        rows += [
            (
                f"{share} from {each['threshold']:.6g}",
                name,
                here[share],
                *(here[f"{share}_interval"] or ("", "")),
                "Wilson",
            )
            for share in ("recall", "specificity", "precision")
        ]
    return rows


def answer(result: Result) -> Answer:
    """Answer with the reference; under --json with every figure, else with tables for eyes beside it."""
    artifact, facts = result.artifact, result.artifact.facts
    value = {
        **result.json(),
        **{name: facts[name] for name in facts if name != "leakage"},
        "page": str(artifact.path.absolute() / "index.html"),
    }
    value.pop("facts")
    seen = facts["seen_in_training"]["sentence"]
    return Answer(
        value,
        [artifact.id],
        notes=summary(facts),
        said=[*([f"warning: {seen}"] if seen and result.reused else []), f"page: {artifact.path / 'index.html'}"],
    )


def summary(facts: Mapping[str, Any]) -> list[Table]:
    """Return an evaluation's figures as tables."""
    low, high = facts["accuracy_interval"]
    overall = [("accuracy", f"{facts['accuracy']:.3f}", f"{low:.3f} to {high:.3f} (Wilson)")]
    for name in RESAMPLED:
        bounds = facts["bootstrap_intervals"][name]
        overall.append(
            (
                name.replace("_", " "),
                "none" if facts[name] is None else f"{facts[name]:.3f}",
                f"{bounds[0]:.3f} to {bounds[1]:.3f} (bootstrap by group)" if bounds else "",
            )
        )
    overall.append(("calibration error", f"{facts['calibration']['expected_calibration_error']:.3f}", ""))
    names = facts["classes"]
    shown = names if len(names) <= MOST_COLUMNS else []
    by_class = [
        (name, *(_share(facts[share][name]) for share in SHARES), *(str(count) for count in row[: len(shown)]))
        for name, row in zip(names, facts["confusion_matrix"], strict=True)
    ]
    tables = [
        Table(("figure", "value", "95 % interval"), overall, f"{facts['n']} pictures in {facts['groups']} groups"),
        Table(("true class", *SHARES, *(f"called {name}" for name in shown)), by_class),
    ]
    limits = [
        (
            name,
            f"{each['target_recall']:g}",
            f"{each['threshold']:.4f}",
            part,
            *(_share(each[part][share]) for share in ("recall", "specificity", "precision")),
        )
        for name, each in facts["thresholds"].items()
        for part in SPLITS
        if part in each
    ]
    return [
        *tables,
        *(
            [Table(("class", "wanted recall", "threshold", "part", "recall", "specificity", "precision"), limits)]
            if limits
            else []
        ),
    ]


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


STAGE = Stage(name="evaluate", writes="evaluations", version=1, params=Params, plan=plan, help=__doc__, answer=answer)

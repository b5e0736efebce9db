"""Ask the model whether an explanation is true: what it loses without the strongest regions, and without others.

REF is an explanation: surrogates of any method. --maps checks maps from elsewhere. The strongest regions are replaced,
and the loss in log-odds, or in the unit of a value, is compared with that of random sets of others, under every fill of
the explanation and others.
A verdict says how far the model confirms. Runtime, precision and batch size are those of the explanation unless you
give others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.answering.runtimes import answers_values, n_members
from facelime_cli.core import shapes
from facelime_cli.engine import Needed, Plan, Stage, resolve_inputs, stage_called
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_indices, whole_number
from facelime_cli.options import MOST_WORKERS, Execution, Input, Resolved
from facelime_cli.predicting import asking
from facelime_cli.predicting.checked import Asked, Checked
from facelime_cli.predicting.reuse import VERSIONS
from facelime_cli.predicting.without_masks import READS
from facelime_cli.store.arrays import TEXT, ArraySpec, Layout
from facelime_cli.store.explanations import NAN, answer_facts, masks_of, measure_of, views_of
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from facelime_cli.console import Answer
    from facelime_cli.engine import Context, Pending
    from facelime_cli.predicting.run import Run
    from facelime_cli.store.artifacts import Artifact

NUMBERS = "1,3"
SETS = 39
"""Random sets: with 39, the smallest p value is 0.025, and random rankings are confirmed in 5 % of the cases."""
MOST_NUMBER = 20


@dataclass(frozen=True, kw_only=True)
class Params(asking.Asking):
    """Parameters of `check`."""

    surrogates: Annotated[
        str,
        Argument(
            metavar="REF",
            help="Surrogates, or - to read them from standard input; with --maps also a dataset or segments.",
            show_default=False,
        ),
        Input(READS),
    ]
    maps: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            show_default=False,
            help="Check the maps in this folder, on the pictures and segments of REF: a PNG, TIFF or .npy file for "
            "each picture, named by its id. Bright, or positive, speaks for the class.",
        ),
        Resolved(()),
    ] = None
    model: Annotated[
        str | None,
        Option(
            metavar="MODEL", show_default=False, help="With --maps, ask this model. [default: that of the surrogates]"
        ),
        Input(("models",)),
    ] = None
    regions: Annotated[
        str,
        Option(
            metavar="K,…",
            help="Take away so many of the strongest regions at once. For 1 all other regions are compared, else sets.",
        ),
        Resolved(("numbers",)),
    ] = NUMBERS
    sets: Annotated[
        int,
        Option(min=19, max=10_000, help="Compare with so many random sets. More cost more and make p values finer."),
    ] = SETS
    checked: Annotated[
        str | None,
        Option(
            "--check-classes",
            metavar="A,B,…",
            show_default=False,
            help="Check these classes, by name or by number from 0. "
            "[default: each picture's most probable class, and its true one; of independent probabilities those of 0.5 "
            "or more, and the true ones; every value]",
        ),
        Resolved(("classes",)),
    ] = None
    seed: Annotated[int, Option(help="Draw the random sets from this seed.")] = 0
    workers: Annotated[
        int | None,
        Option(
            min=1,
            max=MOST_WORKERS,
            show_default=False,
            help="Run so many processes in parallel, for inpaint. [default: one per core]",
        ),
        Execution(),
    ] = None


def needs(params: Params, inputs: Mapping[str, Artifact], _context: Context) -> Mapping[str, Needed]:
    """Name the surrogates that are made of maps from elsewhere."""
    given = inputs["surrogates"]
    if params.maps is None:
        if given.kind != "surrogates":
            raise CommandLineError(f"{given.reference} is no explanation; give surrogates, or --maps of its pictures.")
        if params.model is not None:
            raise CommandLineError(f"--model belongs to --maps: {given.reference} has its own model; leave it out.")
        return {}
    stage = stage_called("import-maps")
    maps = stage.params(source=given.reference, model=params.model, maps=params.maps)
    return {"surrogates": Needed(stage.name, maps)}


def plan(params: Params, inputs: Mapping[str, Artifact], context: Context) -> Plan:
    """Choose the classes, the fills and the sets."""
    surrogates = inputs["surrogates"]
    source, run = _run(params, surrogates, context)
    wanted = asking.wanted_batch(_as_explained(params, surrogates).batch_size)

    def prepare() -> Layout:
        from facelime_cli.answering import preloading

        # Meanwhile stand-ins are looked for in the whole dataset.
        preloading.begin(run.model, run.how)
        return _layout(source, run, {"batch_size": run.batch_size(wanted)})

    def work(artifact: Artifact, units: Pending) -> None:
        from facelime_cli.predicting.predictor import Predictor

        with Workers(params.workers) as workers:
            source.workers, source.most_questions = workers, artifact.shape("masks")[1]
            Predictor(artifact, run, wanted).run(units)

    return Plan(
        params=params,
        resolved={
            **asking.resolved(run),
            "numbers": list(source.asked.numbers),
            "classes": _chosen(params, surrogates),
        },
        name=f"{surrogates.name}-check",
        prepare=prepare,
        work=work,
        inputs={"surrogates": surrogates, "segmentation": source.segmentation, "model": run.model},
        finish=lambda artifact: (asking.facts(artifact), []),
    )


def _as_explained(params: Params, surrogates: Artifact) -> Params:
    """Return parameters that ask the model as the explanation did."""
    asked = (each.input("predictions") for each in views_of(surrogates) if "predictions" in each.inputs)
    found: Params = asking.as_before(params, next(asked, None))
    return found


def _run(params: Params, surrogates: Artifact, context: Context) -> tuple[Checked, Run]:
    """Return what is asked and with what; the model is not loaded yet."""
    asked = Asked(
        classes=_classes(params, surrogates),
        numbers=numbers_of(params.regions),
        sets=params.sets,
        seed=params.seed,
        versus=_versus(surrogates),
        values=answers_values(surrogates),
    )
    source = Checked(surrogates, asked, context.console, context.fills)
    params = _as_explained(params, surrogates)
    return source, asking.run_of(params, source, surrogates.input("models"), context)


def numbers_of(text: str) -> tuple[int, ...]:
    """Return how many regions are taken away at once.

    Parameters
    ----------
    text : str
        As it is typed.

    Raises
    ------
    CommandLineError
        When it is no list of such numbers.

    Returns
    -------
    tuple of int
        Each once, the smallest first.
    """
    words = [word.strip() for word in text.split(",")]
    numbers = [whole_number(word, 1, MOST_NUMBER) or 0 for word in words]
    if not all(numbers):
        raise CommandLineError(
            f"--regions {text!r} should be whole numbers from 1 to {MOST_NUMBER}, such as {NUMBERS}."
        )
    return tuple(sorted(set(numbers)))


def _versus(surrogates: Artifact) -> tuple[int, int] | None:
    made = surrogates.parameters
    return (int(made["class"]), int(made["versus"])) if "versus" in made else None


def _chosen(params: Params, surrogates: Artifact) -> list[int] | None:
    """Return the classes that are named, or None."""
    return None if params.checked is None else class_indices(params.checked, surrogates.facts["classes"])


def _classes(params: Params, surrogates: Artifact) -> Callable[[int], list[int]]:
    """Return what tells the classes to check of a picture: only those that were explained."""
    import numpy as np

    from facelime_cli.reporting.explanations import Explanations

    explanations, chosen = Explanations(surrogates), _chosen(params, surrogates)

    def classes(row: int) -> list[int]:
        wanted = chosen
        if wanted is None:
            wanted = list(dict.fromkeys([*explanations.said(row), *explanations.true(row)]))
        return [c for c in wanted if not np.isnan(explanations.coefficients(row, c)).any()]

    return classes


def _layout(source: Checked, run: Run, execution: Mapping[str, Any]) -> Layout:
    """Return effects, curves and verdicts, and everything that was asked."""
    from facelime_cli.core.checking import CURVE

    surrogates, asked = source.surrogates, source.asked
    n, n_classes, _ = surrogates.shape("coefficients")
    if not any(map(source.classes, range(n))):
        raise FacelimeError(
            f"{surrogates.reference} explains none of these classes; choose others with --check-classes."
        )
    sides = shapes.sides(source.segmentation.input("datasets").facts["size"])
    n_fills, n_samples = source.n_fills, max(source.n_questions(slice(0, n)))
    tested = (n, n_classes, len(asked.numbers), n_fills)
    axes = ("picture", "class", "number", "fill")
    # The members of a mean answer with it, so that the report can say where they differ.
    answers = len(run.model.facts["classes"]) * (1 + n_members(run.model))
    values, measure = answers_values(run.model), measure_of(run.model)
    arrays = {
        "effect": ArraySpec("float64", tested, axes, NAN, measure if values else "log-odds"),
        "p_value": ArraySpec("float64", tested, axes, NAN, "probability"),
        "curve": ArraySpec(
            "float32",
            (n, n_classes, n_fills, 2, len(CURVE)),
            ("picture", "class", "fill", "direction", "step"),
            NAN,
            measure,
        ),
        "area": ArraySpec(
            "float64", (n, n_classes, n_fills, 2), ("picture", "class", "fill", "direction"), NAN, measure
        ),
        "regions": ArraySpec("int32", (n, n_classes, max(asked.numbers)), ("picture", "class", "place"), -1),
        "verdict": ArraySpec(TEXT, (n, n_classes), ("picture", "class"), ""),
        "masks": ArraySpec("uint8", (n, n_samples, source.n_bytes), ("picture", "sample", "byte"), 0),
        "n_samples": ArraySpec("int32", (n,), ("picture",), 0),
        "fill": ArraySpec("uint8", (n, n_fills, *sides, 3), ("picture", "fill", "y", "x", "channel"), 0),
        "probabilities": ArraySpec(
            "float32",
            (n, n_fills, n_samples, answers),
            ("picture", "fill", "sample", "answer"),
            NAN,
            measure,
        ),
    }
    if values:
        # Of probabilities it is the same for all.
        arrays["least_effect"] = ArraySpec("float64", (n, n_classes), ("picture", "class"), NAN, measure)
    facts = {
        **answer_facts(surrogates),
        "numbers": list(asked.numbers),
        "sets": asked.sets,
        "fills": [each.name for each in source.stand_ins],
        "own": list(dict.fromkeys(str(each.parameters["fill"]) for each in masks_of(surrogates))),
    }
    if n_members(run.model):
        facts["members"] = n_members(run.model)
    constants = surrogates.carried() | {"fill_row": (source.fill_rows(), ("picture",))}
    return Layout(n, arrays, constants, facts, execution=execution)


def forecast_of(params: Params, context: Context) -> Answer:
    """Say how long everything would take; the store stays as it is."""
    from facelime_cli.predicting import forecast

    if params.maps is not None:
        raise CommandLineError("--dry-run forecasts the check of surrogates; make them of --maps with `import-maps`.")
    surrogates = resolve_inputs(params, context.store)["surrogates"]
    with context.store.unchanged():
        source, run = _run(params, surrogates, context)
        layout = _layout(source, run, {})
        return forecast.of_stage(STAGE, _as_explained(params, surrogates), run, layout, context)


def restored(check: Artifact) -> dict[str, Any]:
    """Return the options that a check's parameters hold as numbers, and no model: the surrogates have their own."""
    chosen = check.parameters["classes"]
    return {
        "model": None,
        "regions": ",".join(map(str, check.parameters["numbers"])),
        "checked": None if chosen is None else ",".join(map(str, chosen)),
    }


STAGE = Stage(
    name="check",
    writes="checks",
    version=VERSIONS["checks"],
    params=Params,
    plan=plan,
    help=__doc__,
    sharded=True,
    needs=needs,
    forecast=forecast_of,
    restored=restored,
    finish=lambda artifact, _: (asking.facts(artifact), []),
)

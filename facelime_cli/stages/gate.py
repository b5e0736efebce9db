"""Say whether explanations and a model are good enough, for pipelines: exit with 0 where every condition holds.

Each condition is a sign and a number in quotation marks, such as --confirmed ">=0.8". Conditions on verdicts and on
--inside are about what the model says of each picture, or about one --class. Those on figures are about an evaluation.
The command prints a table of the conditions. It exits with 1 where one does not hold, or could not be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from facelime_cli.console import Answer
from facelime_cli.engine import Command, Context, refuse_newer
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import class_index
from facelime_cli.options import Heading, Input

if TYPE_CHECKING:
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.gates import Condition, Outcome
    from facelime_cli.store.artifacts import Artifact

KINDS = ("checks", "surrogates", "reports", "evaluations")
EVALUATIONS = "evaluations"
EXPLAINED, EVALUATED = "Conditions on explanations", "Conditions on an evaluation"
ACCURACY = "accuracy"
WANTED = "CONDITION"


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of `gate`."""

    reference: Annotated[
        str,
        Argument(
            metavar="REF",
            help="Check, surrogates, report or evaluation, or - to read it from standard input.",
            show_default=False,
        ),
        Input(KINDS),
    ]
    confirmed: Annotated[
        str | None,
        Option(
            metavar=WANTED,
            show_default=False,
            help="Share of explanations that the model confirms: verdict strong or fair.",
        ),
        Heading(EXPLAINED),
    ] = None
    inside: Annotated[
        tuple[str, str] | None,
        Option(
            metavar=f"MASK {WANTED}",
            show_default=False,
            help="Share of what speaks for the class that lies in a region, as a mean. MASK is a picture that is black "
            "outside, as large as those of the dataset; or truth, lungs or face.",
        ),
        Heading(EXPLAINED),
    ] = None
    verdict_needs_samples: Annotated[
        str | None,
        Option(metavar=WANTED, show_default=False, help="Share of explanations that need more samples."),
        Heading(EXPLAINED),
    ] = None
    verdict_not_confirmed: Annotated[
        str | None,
        Option(metavar=WANTED, show_default=False, help="Share of explanations that are not confirmed."),
        Heading(EXPLAINED),
    ] = None
    verdict_depends: Annotated[
        str | None,
        Option(metavar=WANTED, show_default=False, help="Share of explanations that depend on the stand-in."),
        Heading(EXPLAINED),
    ] = None
    verdict_nothing: Annotated[
        str | None,
        Option(metavar=WANTED, show_default=False, help="Share of pictures with nothing to explain."),
        Heading(EXPLAINED),
    ] = None
    explained: Annotated[
        str | None,
        Option(
            "--class",
            metavar="CLASS",
            show_default=False,
            help="Judge the explanations of this class, by name or number. [default: what the model says of each "
            "picture]",
        ),
        Heading(EXPLAINED),
    ] = None
    accuracy: Annotated[
        str | None,
        Option(metavar=WANTED, show_default=False, help="Accuracy of the model."),
        Heading(EVALUATED),
    ] = None
    figure: Annotated[
        list[str] | None,
        Option(
            metavar=WANTED,
            show_default=False,
            help='Any other figure, such as "auc>=0.9" or "recall of pneumonia>=0.95". Give it once for each figure.',
        ),
        Heading(EVALUATED),
    ] = None
    evaluation: Annotated[
        str | None,
        Option(
            metavar="EVALUATION",
            show_default=False,
            help="Take the figures from this evaluation. [default: the only one of the model that was explained]",
        ),
        Heading(EVALUATED),
    ] = None
    junit: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            show_default=False,
            help="Write the conditions as JUnit XML too, for a server. An earlier report is replaced.",
        ),
    ] = None


@dataclass(frozen=True)
class _Wanted:
    """The conditions, read from the command line."""

    verdicts: dict[str, Condition]
    inside: tuple[str, Condition] | None
    figures: list[tuple[str, Condition]]

    @property
    def of_explanations(self) -> str:
        """The first option that is about explanations; empty where none is."""
        first = next(iter(self.verdicts), "inside" if self.inside else "")
        return f"--{first}" if first else ""


def run(params: Params, context: Context) -> Answer:
    """Measure every condition, and answer with 1 where one does not hold."""
    from facelime_cli.reporting import gates, junit

    wanted = _wanted(params)
    artifact = context.store.resolve(params.reference, KINDS)
    refuse_newer(artifact)
    artifact.require_complete()
    if params.junit is not None:
        junit.check_place(params.junit)
    outcomes: list[Outcome] = []
    explanations = None if artifact.kind == EVALUATIONS else _explanations(artifact)
    if explanations is not None and wanted.of_explanations:
        outcomes += _of_explanations(explanations, wanted, params.explained)
    elif wanted.of_explanations:
        raise FacelimeError(
            f"{artifact.reference} is an evaluation, and {wanted.of_explanations} is about explanations; name a check."
        )
    elif params.explained is not None:
        raise CommandLineError("--class chooses explanations, and no condition is about these; leave it out.")
    evaluation = _evaluation(artifact, explanations, wanted, params.evaluation, context)
    if evaluation is not None:
        outcomes += [gates.measured(evaluation, name, condition) for name, condition in wanted.figures]
    judged = {"artifact": artifact.reference} | ({"evaluation": evaluation.reference} if evaluation else {})
    if params.junit is not None:
        junit.write(params.junit, junit.document(outcomes, judged))
    return _answer(outcomes, judged, params.junit)


def _wanted(params: Params) -> _Wanted:
    from facelime_cli.reporting.gates import VERDICTS, condition_of, figure_of

    verdicts = {}
    for name in VERDICTS:
        text = getattr(params, name.replace("-", "_"))
        if text is not None:
            verdicts[name] = condition_of(f"--{name}", text)
    inside = None
    if params.inside is not None:
        where, text = params.inside
        if not where:
            raise CommandLineError('--inside names no region; write --inside FILE ">=0.6".')
        inside = where, condition_of(f"--inside {where}", text)
    figures = [] if params.accuracy is None else [(ACCURACY, condition_of(f"--{ACCURACY}", params.accuracy))]
    figures += [figure_of(text) for text in params.figure or ()]
    if not verdicts and inside is None and not figures:
        raise CommandLineError('there is no condition to judge by; give one, such as --confirmed ">=0.8".')
    return _Wanted(verdicts, inside, figures)


def _explanations(artifact: Artifact) -> Explanations:
    from facelime_cli.reporting.explanations import Explanations
    from facelime_cli.reporting.runs import explained_by

    surrogates, check = explained_by(artifact)
    if surrogates.kind != "surrogates":
        raise FacelimeError(
            f"{artifact.reference} holds no explanations; name a check, surrogates, a report of these, or an "
            "evaluation."
        )
    return Explanations(surrogates, check)


def _of_explanations(explanations: Explanations, wanted: _Wanted, explained: str | None) -> list[Outcome]:
    from facelime_cli.reporting.gates import Judged

    chosen = None if explained is None else class_index(explained, explanations.names)
    judged = Judged(explanations, chosen)
    found = [judged.verdicts(name, condition) for name, condition in wanted.verdicts.items()]
    return found + ([judged.inside(*wanted.inside)] if wanted.inside else [])


def _evaluation(
    artifact: Artifact, explanations: Explanations | None, wanted: _Wanted, named: str | None, context: Context
) -> Artifact | None:
    """Return the evaluation that figures are read from; None where no condition is about one."""
    from facelime_cli.reporting.gates import evaluation_of

    if named is not None and (explanations is None or not wanted.figures):
        why = "no condition is about a figure" if explanations is not None else f"{artifact.reference} is one"
        raise CommandLineError(f"--evaluation {named} is not needed, since {why}; leave it out.")
    if not wanted.figures:
        return None
    if explanations is None:
        return artifact
    if named is None:
        return evaluation_of(explanations.model, context.store.artifacts((EVALUATIONS,)))
    found = context.store.resolve(named, (EVALUATIONS,)).require_complete()
    # Of another network its figures would say nothing about these explanations.
    if found.input("models").id != explanations.model.id:
        raise FacelimeError(
            f"{found.reference} is of {found.input('models').reference}, and {artifact.reference} explains "
            f"{explanations.model.reference}; name an evaluation of that."
        )
    return found


def _answer(outcomes: list[Outcome], judged: dict[str, str], file: Path | None) -> Answer:
    from facelime_cli.reporting.gates import table

    failed = [each.name for each in outcomes if not each.holds]
    value: dict[str, Any] = {**judged, "holds": not failed, "conditions": [each.value_as_json for each in outcomes]}
    if file is not None:
        value["junit"] = str(file.absolute())
    said = f"does not hold: {', '.join(failed)}." if failed else "every condition holds."
    return Answer(value, tables=[table(outcomes, judged["artifact"])], code=1 if failed else 0, said=[said])


COMMAND = Command("gate", Params, run, __doc__ or "")

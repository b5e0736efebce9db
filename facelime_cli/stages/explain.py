"""Explain pictures in one go: several views, their consensus, the check by the model, and the report.

SOURCE is a dataset of the store, or a picture or folder, which is first preprocessed at the model's input size, with
the operations of the dataset that the model was trained on. Each view runs segment, perturb, predict and fit-surrogate.
The artifacts are the same as those of the stages alone. Stopped or killed, the same command resumes. While the model
computes one view, segments and masks of the next are made beside it.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from typer import Argument, Option

from facelime_cli import presets, stopping
from facelime_cli.answering import runtimes
from facelime_cli.choices import SEGMENTERS, SURROGATES, UNLIKE, VIEWS, words_of
from facelime_cli.console import Answer
from facelime_cli.core import shapes
from facelime_cli.engine import Command, Context, Result, Stage, execute, stage_called
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError, WrongKindError
from facelime_cli.names import class_indices
from facelime_cli.options import Choice, Execution, Heading, Input, hints, inputs_of, option_of
from facelime_cli.predicting import choosing
from facelime_cli.predicting.asking import wanted_batch
from facelime_cli.predicting.beside import Beside
from facelime_cli.predicting.checked import make_beforehand
from facelime_cli.predicting.choosing import PICTURES
from facelime_cli.predicting.fitting import BOOTSTRAP, own_settings
from facelime_cli.predicting.outputs import needed_output
from facelime_cli.predicting.run import load_once
from facelime_cli.predicting.stability import CONFIDENCE, stable_pictures
from facelime_cli.predicting.stand_ins import KEPT_DONORS, fill_of, most_donors, usual_design, usual_fill
from facelime_cli.predicting.views import PlannedView, planned
from facelime_cli.pseudonyms import PARAMETER
from facelime_cli.stages import check, consensus, fit_surrogate, perturb, predict, preprocess, render, segment
from facelime_cli.store.pictures import changed_otherwise, learned_from, training_operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from facelime_cli.store.artifacts import Artifact

T = TypeVar("T")
MOST_SAMPLES = 4000
STAGES = {
    "Segments": segment.STAGE,
    "Perturbation": perturb.STAGE,
    "Prediction": predict.STAGE,
    "Surrogate": fit_surrogate.STAGE,
    "Check": check.STAGE,
    "Report": render.STAGE,
}
"""The stages that are run, by the heading under which their options stand."""
VIEWS_HEADING, RUN = Heading("Views"), Heading("Run")
HEADINGS = {
    **dict.fromkeys(("preset", "output"), PICTURES),
    **dict.fromkeys(("workers", "time_budget"), RUN),
}
"""Options that stand elsewhere than their stage's others."""
OF_ONE_RUN = ("design", "probability", "fill", "fill_sigma", "donor")
"""Options that describe one run of LIME: with them, and with the presets of other systems, there is one view."""
SINGLE = "single"
LATER = (
    "facelime_cli.core.fidelity",
    "facelime_cli.core.surrogate",
    "facelime_cli.drawing.outlines",
    "facelime_cli.drawing.overlay",
    "facelime_cli.reporting.report_files",
    "skimage.segmentation",
)
"""What surrogates and the report import."""


def _params() -> type[Any]:
    """Return the parameters of `explain`: the source, the model, and every option of its stages."""
    source = Annotated[
        str | None,
        Argument(
            metavar="[SOURCE]",
            help="Dataset, picture or folder of pictures. [default: the dataset of --from-evaluation]",
            show_default=False,
        ),
        Execution(),
    ]
    model = Annotated[
        str | None,
        Option(
            metavar="MODEL",
            help="Explain this model, from `finetune` or `import-model`. [default: that of --from-evaluation]",
            show_default=False,
        ),
        Input(("models",)),
        PICTURES,
    ]
    seed = Annotated[
        int | None,
        Option(
            help="Draw masks, noise and the pictures of --random from this seed. "
            + presets.default_words("seed", perturb.DEFAULTS["seed"]),
            show_default=False,
            min=0,
        ),
        Heading("Perturbation"),
    ]
    kind, extras = hints(preprocess.Params)["pseudonyms"]
    every: list[Any] = [("source", source, None), ("model", model, None)]
    every.append(("pseudonyms", Annotated[(kind, *extras, PICTURES)], False))
    # Maps from elsewhere are no part of these runs.
    known = {"source", "model", "pseudonyms", "maps"}
    for heading, stage in STAGES.items():
        annotations = hints(stage.params)
        references = set(inputs_of(stage.params)).difference(choosing.NAMES)
        for each in dataclasses.fields(stage.params):
            # Of segments it draws pictures; here it is that of the masks, too.
            alone = stage is segment.STAGE and each.name == "seed"
            if each.name in references or each.name in known or alone:
                continue
            known.add(each.name)
            kind, extras = annotations[each.name]
            if each.name == "seed":
                every.append((each.name, seed, each.default))
                continue
            # Sixty options in one list are too many to read.
            place = HEADINGS.get(each.name, Heading(heading))
            every.append((each.name, Annotated[(kind, *extras, place)], each.default))
    until_stable = Annotated[
        bool,
        Option(
            "--until-stable",
            help="Double a picture's samples, from --samples on, until the strongest segments of its most probable "
            "class and their signs will not change.",
        ),
        Heading("Perturbation"),
    ]
    max_samples = Annotated[
        int | None,
        Option(
            min=2,
            max=1_000_000,
            show_default=False,
            help=f"With --until-stable, stop at so many samples. [default: {MOST_SAMPLES}]",
        ),
        Heading("Perturbation"),
    ]
    views = Annotated[
        str | None,
        Choice(tuple(VIEWS)),
        Option(
            show_default=False,
            help=f"Explain with these views, which share --samples. {words_of(VIEWS)}. "
            "Views show what depends on the segments and on what stands in. "
            f"[default: {next(iter(VIEWS))}; {SINGLE} with options of one run, such as --fill or --design]",
        ),
        VIEWS_HEADING,
    ]
    donors = Annotated[
        int | None,
        Option(
            min=1,
            max=KEPT_DONORS,
            show_default=False,
            help=f"With {UNLIKE}, let so many similar pictures take turns as stand-ins. "
            f"[default: {VIEWS['consensus'].donors} for consensus, else 1]",
        ),
        VIEWS_HEADING,
    ]
    checks = Annotated[
        bool,
        Option("--check/--no-check", help="Ask the model whether the explanation is true, which takes a third more."),
        Heading("Check"),
    ]
    every += [("until_stable", until_stable, False), ("max_samples", max_samples, None)]
    every += [("views", views, None), ("donors", donors, None), ("check", checks, True)]
    return dataclasses.make_dataclass("Params", every, frozen=True, kw_only=True)


Params = _params()


def run(params: Any, context: Context) -> Answer:
    """Run the stages and answer with the report's result."""
    from facelime_cli.reporting import unlike

    result = explain(params, context)
    page = result.artifact.path.absolute() / "index.html"
    value = {**result.json(), "report": str(page), "artifacts": artifacts_of(result.artifact)}
    drawn = render.beside(params, result)
    return Answer(value, [result.artifact.id], notes=drawn, said=unlike.said_of(result.artifact.facts))


def artifacts_of(report: Artifact) -> dict[str, str]:
    """Return a reference for each kind of artifact that a report comes from: the nearest to it."""
    found: dict[str, str] = {}
    level = [report]
    while level:
        for artifact in level:
            # Of several views the first is the medium one, and a consensus stands before its views.
            found.setdefault(artifact.kind, artifact.reference)
        # What a model was trained on is no part of what is explained.
        level = [parent for artifact in level if artifact.kind != "models" for parent in artifact.parents()]
    return found


def explain(params: Any, context: Context) -> Result:
    """Run the views, their consensus, the check and the report; the result is the report's."""
    params = presets.filled(params, {**perturb.DEFAULTS, **fit_surrogate.DEFAULTS}) if _single(params) else params
    params = dataclasses.replace(params, samples=params.samples or perturb.DEFAULTS["samples"])
    refuse_early(params)
    params = _of_evaluation(params, context)
    model = _model(params, context)
    runtimes.require_answering(model)
    # From here on it is a model as any other.
    params = dataclasses.replace(params, model=model.reference, output=None)
    # What is wrong here would end the run at one of its last stages, after all evaluations.
    for classes in (params.classes, params.checked if params.check else None):
        if classes is not None:
            class_indices(classes, model.facts["classes"])
    for reference in params.beside or ():
        context.store.resolve(reference, render.EXPLAINED).require_complete()
    begun = time.monotonic()
    with Beside() as beside:
        rounds = _Rounds(
            params, model, stopping.deadline(params.time_budget), dataclasses.replace(context, name=None), beside
        )
        results = _explained(rounds)
        shown = results[-1].artifact
        results.append(execute(render.STAGE, params_of(render.STAGE, params, surrogates=shown.reference), context))
    return Result(
        results[-1].artifact,
        reused=all(result.reused for result in results),
        # Stages run at the same time, so their seconds do not add up to those of the command.
        seconds=time.monotonic() - begun,
    )


def _of_evaluation(params: Any, context: Context) -> Any:
    """Return parameters that name what to explain, and the model: an evaluation is of both."""
    missing = [word for word, given in (("SOURCE", params.source), ("--model", params.model)) if given is None]
    if missing and params.from_evaluation is None:
        raise CommandLineError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; name what to explain, and the "
            "model, or take both from --from-evaluation."
        )
    if not missing:
        return params
    evaluation = context.store.resolve(params.from_evaluation, ("evaluations",)).require_complete()
    return dataclasses.replace(
        params,
        source=params.source or evaluation.input("datasets").reference,
        model=params.model or evaluation.input("models").reference,
    )


def _model(params: Any, context: Context) -> Artifact:
    """Return the model to explain; one of another output than its first is made where it is not there."""
    model = context.store.resolve(params.model, ("models",)).require_complete()
    needed = needed_output(params.output, model)
    if not needed:
        return model
    taking = needed["model"]
    return execute(stage_called(taking.stage), taking.params, dataclasses.replace(context, name=None)).artifact


def _explained(rounds: _Rounds) -> list[Result]:
    """Run everything before the report; the last result is what it shows."""
    from facelime_cli.answering.programs import require_of_stored

    params, model = rounds.params, rounds.model
    dataset = rounds.dataset()
    # Before anything is segmented: this is the mistake that people make.
    if not params.resize:
        runtimes.check_size(model, dataset)
    require_of_stored(model)
    results = rounds.fitted(dataset)
    if params.check:
        results.append(rounds.checked(results[-1].artifact))
    return results


def _single(params: Any) -> bool:
    """Return whether there is one view: asked for, or described by options of one run."""
    given = [name for name in OF_ONE_RUN if getattr(params, name) is not None]
    if params.preset in presets.SYSTEMS:
        given.append("preset")
    if given and params.views not in {None, SINGLE}:
        raise CommandLineError(
            f"{option_of(given[0])} describes one run, and --views {params.views} are several; leave one of them out."
        )
    if given and params.donors is not None:
        raise CommandLineError(
            f"{option_of(given[0])} describes one run, and --donors are several; leave one of them out."
        )
    return bool(given) or params.views == SINGLE


def refuse_early(params: Any) -> None:
    """Refuse what cannot work before anything is made.

    Parameters
    ----------
    params : Params

    Raises
    ------
    FacelimeError
        When an option is wrong that a later stage reads.
    """
    with_defaults = presets.filled(params, {**perturb.DEFAULTS, **fit_surrogate.DEFAULTS})
    own_settings(with_defaults, params.design or usual_design(params.fill))
    if params.fill is not None:
        fill_of(params.fill)
    choosing.refuse_early(choosing.choosing_of(params))
    wanted_batch(params.batch_size)
    check.numbers_of(params.regions)
    render.formats_of(params)
    if not params.until_stable and (params.max_samples is not None or params.confidence is not None):
        raise CommandLineError(
            "--max-samples and --confidence are about more rounds of samples; ask for them with --until-stable."
        )
    if params.max_samples is not None and params.max_samples < params.samples:
        raise CommandLineError(
            f"--max-samples {params.max_samples} is less than the --samples {params.samples} of the first round; "
            "raise it, or begin with fewer."
        )
    if params.until_stable and not SURROGATES[with_defaults.surrogate].intervals and params.intervals != BOOTSTRAP:
        raise CommandLineError(
            f"--until-stable judges by intervals, and --surrogate {params.surrogate} has none without "
            f"--intervals {BOOTSTRAP}; add it, or choose another surrogate."
        )


@dataclasses.dataclass(frozen=True)
class _Rounds:
    """Runs of the stages between segments and surrogates, within one time budget."""

    params: Any
    model: Artifact
    deadline: float | None
    context: Context
    beside: Beside
    loading: list[Future[None]] = dataclasses.field(default_factory=list)
    filling: list[Future[None]] = dataclasses.field(default_factory=list)
    importing: list[Future[None]] = dataclasses.field(default_factory=list)

    def dataset(self) -> Artifact:
        """Return the dataset to explain; a picture or folder is preprocessed first."""
        source, pseudonyms = self.params.source, self.params.pseudonyms
        try:
            found = self.context.store.resolve(source, ("datasets",))
        except (NotFoundError, WrongKindError):
            if not Path(source).exists():
                raise NotFoundError(
                    f"{source!r} is neither a dataset in {self.context.store.shown} nor a picture or folder; "
                    "`facelime status` lists what is there."
                ) from None
        else:
            if pseudonyms and PARAMETER not in found.parameters:
                raise CommandLineError(
                    f"--pseudonyms is about pictures that are read first, and {found.reference} keeps their names; "
                    "make it again with `facelime preprocess --pseudonyms`."
                )
            for warning in (changed_otherwise(self.model, found), learned_from(self.model, found)):
                if warning:
                    self.context.console.warn(warning)
            return found
        size = shapes.typed(self.model.facts["size"])
        # A network that learned from pictures without a border, or in other colours, answers otherwise to these.
        operations = training_operations(self.model) or {}
        params = preprocess.Params(source=[Path(source)], size=size, pseudonyms=pseudonyms, **operations)
        return execute(preprocess.STAGE, params, self.context).artifact

    def execute(
        self, stage: Stage, context: Context, changes: dict[str, Any] | None = None, **inputs: Artifact
    ) -> Result:
        """Run one stage on its inputs, with what it shares of the options of `explain`."""
        params = params_of(stage, self.params, **{name: each.reference for name, each in inputs.items()})
        return execute(stage, dataclasses.replace(params, **changes or {}), context)

    @property
    def _early(self) -> Context:
        """What `segment` and `perturb` use: as soon as one has something to make, the model is loaded beside it."""
        # Not while pictures are read: that is work of this process too, and one thread of Python runs at a time.
        return dataclasses.replace(self.context, before_work=self._load)

    @property
    def _aside(self) -> Context:
        """What stages use that run beside `predict`."""
        return dataclasses.replace(self._early, console=self.beside.console(self.context.console))

    def _load(self) -> None:
        """Begin to load the model, unless that is begun or only the dataset tells how it is run."""
        params = self.params
        if self.loading or params.resize or params.runtime not in {None, *runtimes.RUNTIMES}:
            return
        precision = params.precision or runtimes.FLOAT32
        how = runtimes.How(runtimes.settle(self.model, params.runtime, precision), precision)
        batch = wanted_batch(params.batch_size)
        self.loading.append(self.beside.begin("model", load_once, self.context, self.model, how, batch))

    def _awaited(self, futures: Iterable[Future[T]]) -> list[T]:
        """Return what was begun beside; it is shown how far it is."""
        return [self.beside.awaited(each, self.context.console) for each in futures]

    @property
    def left(self) -> str | None:
        """What earlier stages have left of the time budget: each stage takes a budget of its own."""
        return None if self.deadline is None else f"{max(0.0, self.deadline - time.monotonic()):.3f}s"

    def fitted(self, dataset: Artifact) -> list[Result]:
        """Run the views, once or until nothing changes any more; the last result is of the explanation."""
        # Segments come first: the default fill follows from their pictures.
        results = [self.execute(segment.STAGE, self._early, dataset=dataset)]
        results += self._round(dataset, results[0].artifact, self.params.samples, {})
        if not self.params.until_stable:
            return results
        return results + self._until_stable(dataset, results[0].artifact, results[-1].artifact)

    def _until_stable(self, dataset: Artifact, segments: Artifact, explained: Artifact) -> list[Result]:
        """Double the samples of those pictures whose explanation may still change; their predictions are reused."""
        samples = self.params.samples
        most = self.params.max_samples or MOST_SAMPLES
        confidence = self.params.confidence or CONFIDENCE
        results: list[Result] = []
        while True:
            stable = stable_pictures(explained, confidence)
            self.context.console.note(
                f"{int(stable.sum())} of {len(stable)} explanations are stable with up to {samples} samples"
            )
            if stable.all() or samples >= most:
                return results
            # Doubling needs few rounds, and the samples before are a part of those after.
            samples = min(2 * samples, most)
            more = {"after": explained.reference, "confidence": confidence}
            results += self._round(dataset, segments, samples, more)
            explained = results[-1].artifact

    def _round(self, dataset: Artifact, segments: Artifact, samples: int, changes: dict[str, Any]) -> list[Result]:
        """Run every view once, and join them where there are several.

        The model computes one view after the other. Beside it masks of the next are made, and what is done is fitted.
        """
        changes = {"confidence": None, **changes}
        wanted = [(_usual(segments), {"samples": samples, **changes})]
        if not (_single(self.params) and self.params.donors in {None, 1}):
            views = self._views(segments, samples)
            wanted = [
                (each.segments, {"samples": each.samples, "fill": each.fill, "donor": each.donor, **changes})
                for each in views
            ]
        masks = [self.beside.begin("masks", self._masks, dataset, segments, *each) for each in wanted]
        # A view on these segments makes its fill itself.
        own = {view.get("fill", self.params.fill) for number, view in wanted if number == _usual(segments)}
        before = partial(self._fill, segments, own)
        results: list[Result] = []
        fits = []
        for each in masks:
            results += self._awaited([each])[0]
            results.append(self._predictions(results[-1].artifact, before))
            fits.append(self.beside.begin("fits", self._fit, results[-1].artifact))
        results += self._awaited(fits)
        return results if len(fits) == 1 else [*results, self._joined(segments, results[-len(fits) :])]

    def _joined(self, carrier: Artifact, fitted: list[Result]) -> Result:
        """Join the views."""
        references = [each.artifact.reference for each in fitted]
        joined = consensus.Params(surrogates=references, carrier=carrier.reference, stable_top=self.params.stable_top)
        return execute(consensus.STAGE, joined, self.context)

    def _views(self, segments: Artifact, samples: int) -> list[PlannedView]:
        """Return the views, as far as there are donors for them."""
        chosen = VIEWS[self.params.views or next(iter(VIEWS))]
        fill, donors = usual_fill(segments), self.params.donors or chosen.donors
        if fill == UNLIKE:
            there_are = most_donors(segments, self.context.console)
            if self.params.donors is not None and donors > there_are:
                raise FacelimeError(
                    f"--donors {donors}: a picture has only {there_are} similar pictures of another class and of "
                    "different patients; use fewer."
                )
            donors = min(donors, there_are)
        elif self.params.donors is not None:
            raise FacelimeError(
                f"--donors {donors} are similar pictures of another class, and these have none; leave the option out."
            )
        # Rounds that take more samples keep the views of the first.
        first = planned(chosen, usual=_usual(segments), fill=fill, donors=donors, samples=self.params.samples)
        share, left = divmod(samples, len(first))
        return [dataclasses.replace(each, samples=share + (place < left)) for place, each in enumerate(first)]

    def checked(self, explained: Artifact) -> Result:
        """Ask the model whether the explanation is true."""
        self._awaited(self.filling)
        # The model is the explanation's own, and the seed that of the masks.
        changes = {"model": None, "seed": self.params.seed or perturb.DEFAULTS["seed"], "time_budget": self.left}
        return self.execute(check.STAGE, self.context, changes, surrogates=explained)

    def _masks(
        self, dataset: Artifact, segments: Artifact, number: int | None, changes: dict[str, Any]
    ) -> list[Result]:
        """Make the masks of a view, and its segments where these are others; the last result is of the masks."""
        results = []
        if number != _usual(segments):
            results.append(self.execute(segment.STAGE, self._aside, {"segments": number}, dataset=dataset))
            segments = results[-1].artifact
        return [*results, self.execute(perturb.STAGE, self._aside, changes, segmentation=segments)]

    def _fill(self, segments: Artifact, besides: set[str | None]) -> None:
        """Begin to make the first stand-ins of the check: the model would wait for them."""
        if self.params.check and not self.filling:
            call = (make_beforehand, self._aside, segments, besides, self.params.workers)
            self.filling.append(self.beside.begin("masks", *call))

    def _predictions(self, masks: Artifact, before: Callable[[], None]) -> Result:
        """Ask the model, which is loaded by then; `before` is called when there is something to ask."""
        self._awaited(self.loading)

        def before_work() -> None:
            if not self.importing:
                self.importing.append(self.beside.begin("imports", _import_later))
            before()

        context = dataclasses.replace(self.context, before_work=before_work)
        return self.execute(predict.STAGE, context, {"time_budget": self.left}, masks=masks, model=self.model)

    def _fit(self, predictions: Artifact) -> Result:
        """Fit the surrogates of a view."""
        return self.execute(fit_surrogate.STAGE, self._aside, predictions=predictions)


def _import_later() -> None:
    """Import what comes after the answers, while the model computes: modules and templates take half a second."""
    from facelime_cli.reporting import pages

    for module in LATER:
        import_module(module)
    pages.prepare()


def _usual(segments: Artifact) -> int | None:
    """Return the number of segments that was asked for, or that the method asks for itself."""
    made = segments.parameters
    asked = made.get("segments")
    # A scale of the user's stands in place of a number.
    if asked is None and made.get("scale") is None:
        asked = SEGMENTERS[str(made["method"])].settings.get("segments")
    return None if asked is None else int(asked)


def params_of(stage: Stage, params: Any, **inputs: str | None) -> Any:
    """Return one stage's parameters: its inputs, and the options it shares with `explain`.

    Parameters
    ----------
    stage : Stage
    params : Params
    **inputs : str or None
        References.
    """
    given = {}
    for each in dataclasses.fields(stage.params):
        if each.name not in inputs and hasattr(params, each.name):
            given[each.name] = getattr(params, each.name)
    if issubclass(stage.params, choosing.Choosing):
        # There it draws pictures alone, and is nothing without these.
        given["seed"] = choosing.choosing_of(params).seed
    return stage.params(**given, **inputs)


COMMAND = Command("explain", Params, run, __doc__ or "", named=True)

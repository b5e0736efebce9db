"""A pipeline: names are fixed before anything exists, and follow from all that can change a result."""

import json
from dataclasses import replace

import pytest

from facelime_cli.console import Console
from facelime_cli.engine import Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.jobs import pipeline
from facelime_cli.store.references import Store

PARAMS = pipeline.params_with([])
SMALL = {"split": "test", "first": 2, "method": "slic", "segments": 7, "samples": 20, "seed": 3}


@pytest.fixture
def planned(chain):
    context = Context(Store(chain.facelime.store, lambda _: None), Console(quiet=True, as_json=False))

    def plan(**given):
        return pipeline.planned(PARAMS(**{"dataset": "faces", "model": "small", **SMALL, **given}), context)

    return plan


def test_each_step_reads_by_name_what_the_one_before_it_makes(planned):
    made = planned(run="run7")
    assert [each.name for each in made.steps] == [
        "segment",
        "perturb",
        "predict-small",
        "fit-surrogate-small",
        "check-small",
        "render-small",
    ]
    for before, each in zip(made.steps, made.steps[1:], strict=False):
        assert each.after == (before.name,)
        assert before.output in each.words
        assert before.output.endswith(before.words[before.words.index("--name") + 1])
    assert made.steps[0].words[1].startswith("datasets/")
    assert made.run.startswith("run7-")
    assert [each.name for each in made.steps if each.asks_model] == ["predict-small", "check-small"]
    assert (made.n_pictures, made.samples) == (2, 20)


def test_the_same_options_mean_the_same_names_and_others_mean_others(planned):
    runs = [planned(run="run7").run, planned(run="run7").run]
    assert runs[0] == runs[1]
    others = [{"samples": 21}, {"segments": 8}, {"seed": 4}, {"check": False}, {"top": 3}, {"first": 1}]
    assert len({planned(run="run7", **each).run for each in others} | {runs[0]}) == len(others) + 1


def test_several_models_share_segments_and_masks(planned):
    made = planned(models="small", model=None)
    assert [each.stage for each in made.steps].count("perturb") == 1
    with pytest.raises(CommandLineError, match="twice"):
        planned(models="small,small", model=None)


def test_the_names_are_those_of_artifacts_once_they_exist(planned, chain):
    made = planned()
    for step in made.steps[:2]:
        chain.facelime.artifact(*step.words)
        kind, name = step.output.split("/")
        assert chain.facelime.json("show", step.output)["kind"] == kind
        assert name in chain.facelime.json("show", step.output)["names"]


def test_it_comes_back_from_json(planned):
    made = planned()
    assert pipeline.pipeline_from(json.loads(json.dumps(made.json()))) == made
    with pytest.raises(FacelimeError, match="no pipeline"):
        pipeline.pipeline_from({"run": "x"})


def test_a_command_is_quoted_for_a_shell():
    step = pipeline.Step("a", "segment", ("segment", "x y", "--name", "it's"), "segments/x")
    assert step.command('--shard "$I/8"') == "facelime segment 'x y' --name 'it'\"'\"'s' --shard \"$I/8\""
    assert replace(step, words=("status",)).command() == "facelime status"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": None}, "one of them"),
        ({"models": "small"}, "not both"),
        ({"run": "a/b"}, "name"),
        ({"run": "x" * 41}, "at most 40"),
        ({"model": "no-such"}, "no-such"),
        ({"dataset": "no-such"}, "no-such"),
        ({"classes": "no-such"}, "no-such"),
        ({"images": "no-such"}, "no-such"),
    ],
)
def test_what_would_fail_later_is_refused_now(planned, given, words):
    with pytest.raises(FacelimeError, match=words):
        planned(**given)

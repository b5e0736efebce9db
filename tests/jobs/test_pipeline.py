"""A pipeline: names that are fixed before anything exists, and commands that do what `explain` does."""

import re

import pytest

from facelime_cli.console import Console
from facelime_cli.engine import Context
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.jobs import pipeline
from facelime_cli.store.references import Store

OPTIONS = ("--first", "2", "--method", "slic", "--segments", "7", "--samples", "20", "--seed", "3")
STAGES = ("segment", "perturb", "predict", "fit-surrogate", "check", "render")
GIVEN = {"first": 2, "method": "slic", "segments": 7, "samples": 20, "seed": 3}


def planned(facelime, **given):
    params = pipeline.params_with([])(**{"dataset": "faces", "model": "small", **GIVEN, **given})
    return pipeline.planned(params, Context(Store(facelime.store), Console(quiet=True)))


@pytest.fixture(scope="module")
def twin(chain):
    """A second model that answers as the first does."""
    chain.facelime.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--seed", 62, "--name", "twin")
    return chain.facelime


def test_the_commands_in_order_make_what_explain_makes(chain):
    run = chain.facelime
    found = planned(run)
    assert [step.stage for step in found.steps] == [*STAGES]
    assert (found.n_pictures, found.samples) == (2, 20)
    store = Store(run.store)
    for step in found.steps:
        answer = run.json(*step.words)
        assert store.resolve(step.output).reference == f"{answer['kind']}/{answer['artifact']}"
    explained = run.json("explain", "faces", "--model", "small", *OPTIONS, "--views", "single")
    assert explained["reused"] is True
    assert store.resolve(found.steps[-1].output).id == explained["artifact"]


def test_what_another_run_has_made_gets_its_name_and_is_not_made_again(chain):
    run, store = chain.facelime, Store(chain.facelime.store)
    first, second = planned(run), planned(run, top=3)
    made = run.json(*first.steps[0].words)
    assert run(*second.steps[0].words, "--missing", 4).stdout.strip() == ""
    with pytest.raises(FacelimeError, match="nothing called"):
        store.resolve(second.steps[0].output)
    run.json(*second.steps[0].words, "--lay-out")
    assert store.resolve(second.steps[0].output).id == made["artifact"]


def test_each_model_has_a_chain_behind_common_masks(twin):
    found = planned(twin, model=None, models="small,twin")
    assert [step.name for step in found.steps[:3]] == ["segment", "perturb", "predict-small"]
    assert {step.name: step.after for step in found.steps if step.stage == "predict"} == {
        "predict-small": ("perturb",),
        "predict-twin": ("perturb",),
    }
    known = set()
    for step in found.steps:
        assert set(step.after) <= known
        known.add(step.name)
    assert len({step.output for step in found.steps}) == len(found.steps)
    assert [step.name for step in found.steps if step.asks_model] == [
        *("predict-small", "check-small", "predict-twin", "check-twin")
    ]


def test_pictures_are_chosen_by_whole_ids_and_by_what_a_file_lists(chain, tmp_path):
    run, name = chain.facelime, chain["evaluate"].name
    evaluation = Store(run.store).resolve(name, ("evaluations",)).reference
    found = planned(run, from_evaluation=name, mistakes="all", random=2, seed=None, preset="rosacea")
    # The seed is that of the preset, as in `explain`.
    words = f"--from-evaluation {evaluation} --mistakes all --random 2 --seed 222 --first 2"
    assert words in " ".join(found.step("segment").words)
    assert found.n_pictures == 2
    assert "--seed" not in planned(run).step("segment").words
    file = tmp_path / "chosen.txt"
    runs = []
    for text in ("face-001\nface-002\n", "face-001\n", "face-002\nface-001"):
        file.write_text(text)
        runs.append(planned(run, listed=file, first=None))
    assert [each.n_pictures for each in runs] == [2, 1, 2]
    assert runs[0].run == runs[2].run != runs[1].run
    assert ("--from", str(file)) == runs[0].step("segment").words[2:4]
    # The argument stands first, and what existed before has the words that it had.
    assert planned(run).step("segment").words[:6] == (*("segment", found.dataset, "--first", "2", "--method", "slic"),)


def test_names_follow_from_all_that_counts_and_from_nothing_else(chain):
    run = chain.facelime
    first = planned(run, run="run7")
    assert re.fullmatch(r"run7-[0-9a-f]{6}", first.run)
    assert first.step("perturb").output == f"masks/{first.run}"
    assert planned(run, run="run7") == first
    others = [planned(run, run="run7", **each).run for each in ({"seed": 4}, {"top": 3}, {"check": False})]
    assert len({first.run, *others}) == 4


def test_a_pipeline_is_read_again_as_it_was_written(chain):
    import json

    found = planned(chain.facelime)
    assert pipeline.pipeline_from(json.loads(json.dumps(found.json()))) == found
    with pytest.raises(FacelimeError, match="no pipeline"):
        pipeline.pipeline_from({"steps": [{}]})


def test_a_preset_of_segments_alone_goes_to_no_other_stage(chain):
    found = planned(chain.facelime, method=None, segments=None, preset="dermoscopy")
    assert [step.stage for step in found.steps if "--preset" in step.words] == ["segment"]


@pytest.mark.parametrize(
    ("given", "fragment", "kind"),
    [
        ({"model": None}, "--model", CommandLineError),
        ({"models": "small"}, "not both", CommandLineError),
        ({"model": None, "models": ""}, "no model", CommandLineError),
        ({"model": None, "models": "small,small"}, "twice", CommandLineError),
        ({"run": "x" * 41}, "at most 40", CommandLineError),
        ({"run": "../up"}, "cannot be a name", FacelimeError),
        ({"regions": "0"}, "regions", FacelimeError),
        ({"classes": "nobody"}, "no class", FacelimeError),
        ({"fill": "nothing"}, "fill", FacelimeError),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_before_anything_is_written(chain, given, fragment, kind):
    with pytest.raises(kind, match=fragment):
        planned(chain.facelime, **given)

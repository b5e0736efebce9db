"""Presets over all stages: another system's choices, from segments to the picture."""

from __future__ import annotations

import numpy as np
import pytest
from lime.lime_image import LimeImageExplainer

from facelime_cli.engine import Stage
from facelime_cli.options import hints
from facelime_cli.presets import PRESETS, SYSTEMS
from facelime_cli.stages import INDEX, perturb

OPTIONS = {name: dict(preset.options) for name, preset in SYSTEMS.items()}
STAGES = {each.name: each for each in (listed.load() for listed in INDEX) if isinstance(each, Stage)}
APART = {("segment", "seed")}
"""Of segments it draws pictures for --random alone, and is refused without it."""
CHAIN = ("segment", "perturb", "fit-surrogate", "render")


def words(stage, options):
    """Return the options of a stage among some, as they are typed."""
    known = hints(STAGES[stage].params)
    return [
        word
        for name, value in options.items()
        if name in known and (stage, name) not in APART
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def test_every_option_of_a_preset_belongs_to_a_stage():
    known = {name for stage in CHAIN for name in hints(STAGES[stage].params)}
    assert {name for preset in PRESETS.values() for name in preset.options} <= known


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_chain_of_a_system_is_its_values_spelled_out(system, chain):
    run = chain.facelime
    made = {
        way: run.artifact("segment", "faces", "--split", "test", "--first", 1, *given)
        for way, given in {"preset": ("--preset", system), "typed": words("segment", OPTIONS[system])}.items()
    }
    assert made["preset"].id == made["typed"].id
    masks = {
        way: run.artifact("perturb", made["typed"].id, *given)
        for way, given in {"preset": ("--preset", system), "typed": words("perturb", OPTIONS[system])}.items()
    }
    assert masks["preset"].id == masks["typed"].id
    assert masks["preset"].parameters["samples"] == OPTIONS[system]["samples"]
    predictions = run.artifact("predict", masks["typed"].id, "--model", "small")
    surrogates = {
        way: run.artifact("fit-surrogate", predictions.id, *given)
        for way, given in {"preset": ("--preset", system), "typed": words("fit-surrogate", OPTIONS[system])}.items()
    }
    assert surrogates["preset"].id == surrogates["typed"].id
    reports = {
        way: run.artifact("render", surrogates["typed"].id, *given)
        for way, given in {"preset": ("--preset", system), "typed": words("render", OPTIONS[system])}.items()
    }
    assert reports["preset"].id == reports["typed"].id
    of_one = ["--split", "test", "--first", 1, "--model", "small", "--preset", system]
    whole = run.json("explain", "faces", *of_one, "--no-check")
    assert (whole["artifact"], whole["reused"]) == (reports["preset"].id, True)


def test_options_count_more_than_the_preset(chain):
    given = perturb.resolved(
        perturb.Params(segmentation="some", preset="rosacea", samples=70, seed=3), chain["segment"]
    )
    assert (given.samples, given.seed, given.fill, given.probability) == (70, 3, "black", 0.5)


def test_a_domain_says_nothing_of_masks(chain):
    usual, face = (
        perturb.resolved(perturb.Params(segmentation="some", preset=preset), chain["segment"])
        for preset in (None, "face")
    )
    assert (usual.samples, usual.design, usual.probability, usual.fill, usual.seed) == (
        face.samples,
        face.design,
        face.probability,
        face.fill,
        face.seed,
    )


def test_lime_segments_and_fills_as_its_preset_does(chain):
    """The lime package's own segments and fill of the same picture."""
    run = chain.facelime
    segments = run.artifact("segment", "faces", "--split", "test", "--first", 1, "--preset", "lime-defaults")
    masks = run.artifact("perturb", segments.id, "--preset", "lime-defaults", "--samples", 5)
    image = segments.input("datasets").read("images", [int(segments.read("row")[0])])[0]
    seen = []

    def classify(images):
        seen.append(np.array(images))
        return np.full((len(images), 2), 0.5)

    found = LimeImageExplainer(random_state=0).explain_instance(
        image, classify, top_labels=1, num_samples=5, batch_size=5
    )
    ours = segments.read("segments")[0]
    pairs = np.unique(np.stack([ours.ravel(), found.segments.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(found.segments)) == int(ours.max()) + 1
    fill = masks.read("fill")[0]
    assert all(((each == image) | (each == fill)).all() for batch in seen for each in batch)

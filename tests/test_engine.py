"""The one way from parameters to an artifact, for every stage: references, shards and fingerprints."""

import dataclasses
import json
from pathlib import Path

import pytest

from facelime_cli.console import Console
from facelime_cli.engine import Context
from facelime_cli.options import Execution, Input, Resolved, hints, marker
from facelime_cli.predicting import choosing
from facelime_cli.store.references import Store
from tests.support import CHAIN, ROUNDS, SHARDED, STAGES, compared, fingerprint, joined, words_of

BEFORE = {
    "segment": "preprocess",
    "perturb": "segment",
    "predict": "perturb",
    "fit-surrogate": "predict",
    "render": "fit-surrogate",
    "gradcam": "segment",
    "occlusion": "perturb",
    "contrast": "fit-surrogate",
    "check": "fit-surrogate",
    "import-maps": "segment",
}
"""What each stage that has parts reads first. A consensus reads several."""

CHANGES = {
    "preprocess": {
        "size": "32",
        "split": "60:20:20",
        "folds": 4,
        "group_pattern": r"(\d)",
        "label_pattern": r"face-\d\d(\d)",
        "fit": "pad",
        "crop": "face",
        "crop_border": 5.0,
        "white_balance": "shades-of-gray",
        "equalize": True,
        "contrast": 1.5,
        "keep_dicom_uids": True,
        "seed": 5,
        "pseudonyms": True,
    },
    "finetune": {
        "backbone": "mobilenetv2",
        "recipe": "pneumonia",
        "kind": "skin",
        "minutes": 5.0,
        "refit": True,
        "weights": "none",
        "freeze": "1",
        "pooling": "average",
        "head": "8",
        "dropout": "0.5",
        "l2": 0.1,
        "output": "sigmoid",
        "epochs": 3,
        "steps_per_epoch": 2,
        "patience": 1,
        "batch_size": 8,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "schedule": "cosine",
        "class_weights": "balanced",
        "oversample": True,
        "augment": "flip=both",
        "fine_tune_epochs": 1,
        "fine_tune_layers": "2",
        "fine_tune_rate": 0.1,
        "calibrate": True,
        "precision": "mixed",
        "fold": "2",
        "ensemble": True,
        "seed": 1,
    },
    "evaluate": {"split": "validation", "target_recall": ["rosacea=0.9"], "bootstrap": 300, "mistakes": 3, "seed": 1},
    "describe": {"sheet": 2, "seed": 1},
    "segment": {
        "preset": "face",
        "method": "quickshift",
        "segments": 20,
        "kernel_size": 3.0,
        "max_dist": 9.0,
        "ratio": 0.5,
        "scale": 90.0,
        "compactness": 1.0,
        "sigma": 1.0,
        "cell": "hexagon",
        "min_size": 9,
        "connectivity": "4",
        "zones": "lungs",
        "split": "train",
        "images": "face-001",
        "first": 2,
    },
    "perturb": {
        "preset": "rosacea",
        "samples": 91,
        "confidence": 0.8,
        "design": "paired",
        "probability": 0.6,
        "fill": "black",
        "fill_sigma": 3.0,
        "donor": 2,
        "seed": 1,
    },
    "predict": {"runtime": "openvino", "precision": "bfloat16"},
    "fit-surrogate": {
        "preset": "rosacea",
        "surrogate": "linear",
        "alpha": 2.0,
        "features": 4,
        "proximity": "l2",
        "kernel_width": 0.5,
        "intervals": "bootstrap",
        "stable_top": 3,
        "part": "1/2",
    },
    "render": {
        "preset": "rosacea",
        "top": 3,
        "classes": "rosacea",
        "by_zone": "face",
        "single_file": True,
        "no_stand_ins": True,
        "figures": "png",
        "dpi": 200,
        "columns": 2,
        "style": "lime",
    },
    "compare": {"top": 3, "explained": "rosacea"},
    "gradcam": {"layer": "cnn_small/conv2d", "variant": "eigencam"},
    "occlusion": {},
    "contrast": {},
    "consensus": {"stable_top": 3},
    "check": {
        "runtime": "openvino",
        "precision": "bfloat16",
        "regions": "1",
        "checked": "normal",
        "sets": 40,
        "seed": 1,
    },
    "import-maps": {},
    "import-model": {
        "classes": "b,a",
        "scaling": "0..1",
        "backbone": "mobilenetv2",
        "size": "96",
        "activation": "softmax",
        "multi_label": True,
        "model_version": "2",
        "output": "predictions",
    },
}
"""For each stage, another value of every parameter that changes the result."""

METHOD_OF = {
    "kernel_size": "quickshift",
    "max_dist": "quickshift",
    "ratio": "quickshift",
    "scale": "felzenszwalb",
    "cell": "grid",
}

NEUTRAL = {
    "preprocess": {"strict": True, "workers": 1},
    "finetune": {"checkpoint_minutes": 1.0, "find_rate": True},
    "evaluate": {"batch_size": 7},
    "describe": {},
    "segment": {"workers": 1, "first": 3},
    "perturb": {"workers": 1},
    "predict": {"batch_size": "7", "time_budget": "5m", "tolerance": 0.5},
    "fit-surrogate": {"workers": 1},
    "render": {"terminal": True, "workers": 1},
    "compare": {},
    "gradcam": {"batch_size": 2},
    "occlusion": {"batch_size": 5},
    "contrast": {},
    "consensus": {},
    "check": {"batch_size": "7", "time_budget": "5m", "tolerance": 0.5, "workers": 1},
    "import-maps": {"batch_size": 2},
}
"""For each stage, another value of every parameter that does not."""

CHOOSES = {
    "source",
    "columns",
    "preset",
    "surrogates",
    "compare",
    "beside",
    "resize",
    "truth",
    "labels",
    "output",
    "split",
    "images",
    "first",
    *choosing.NAMES,
    "table",
    "id_column",
    "join",
    "rows",
    "reader_column",
    "missing_pictures",
    "label_column",
    "label_columns",
    "subtype_pattern",
    "label_separator",
    "no_finding",
    "uncertain",
    "blank",
    "group_column",
    "one_per_group",
    "split_column",
    "split_file",
    "bits",
    "frame",
    "thresholds",
    "class_names",
    "fill",
    "explained",
    "versus",
    "maps",
    "carrier",
}
"""Marked as resolved: not their words but what they choose is in the fingerprint. Tests of their own vary them."""


def base_params(stage, chain, faces):
    inputs = {
        "preprocess": {"source": [Path(faces)], "size": "48"},
        "finetune": {"dataset": "faces", "backbone": "cnn-small", "epochs": 2},
        "evaluate": {"model": "small", "bootstrap": ROUNDS},
        "describe": {"dataset": "faces"},
        "segment": {"dataset": "faces", "split": "test", "first": 3, "method": "slic", "segments": 12},
        "perturb": {"segmentation": chain["segment"].id, "samples": 90},
        "predict": {"masks": chain["perturb"].id, "model": "small"},
        "fit-surrogate": {"predictions": chain["predict"].id},
        "render": {"surrogates": chain["fit-surrogate"].id},
        "compare": {"surrogates": compared(chain)},
        "gradcam": {"source": chain["segment"].id, "model": "small"},
        "occlusion": {"source": chain["perturb"].id, "model": "small"},
        "contrast": {"surrogates": chain["fit-surrogate"].id, "explained": "rosacea", "versus": "normal"},
        "consensus": {"surrogates": joined(chain)},
        "check": {"surrogates": chain["fit-surrogate"].id},
        "import-maps": {"source": chain["segment"].id, "model": "small", "maps": chain.maps},
    }
    return STAGES[stage].params(**inputs[stage])


@pytest.fixture
def context(chain):
    return Context(Store(chain.facelime.store), Console(quiet=True))


@pytest.mark.parametrize("stage", BEFORE)
def test_reads_a_reference_or_json_from_standard_input(stage, chain, faces):
    words = words_of(stage, chain, faces)
    before = chain.reference(BEFORE[stage])
    words[1] = "-"
    for text in (f"noise\n{before}\n\n", f"noise\n{json.dumps({'artifact': before.partition('/')[2]})}\n"):
        assert chain.facelime.json(*words, stdin=text)["artifact"] == chain[stage].id


@pytest.mark.parametrize("stage", BEFORE)
def test_empty_standard_input_is_an_error(stage, chain, faces):
    words = words_of(stage, chain, faces)
    words[1] = "-"
    assert "standard input" in chain.facelime.fails(*words, stdin="\n")


@pytest.mark.parametrize("stage", SHARDED)
def test_missing_names_no_shard_of_a_finished_artifact(stage, chain, faces):
    assert chain.facelime.json(*words_of(stage, chain, faces), "--missing", 4)["missing"] == []


@pytest.mark.parametrize("stage", SHARDED)
def test_missing_names_every_shard_before_anything_is_done(stage, chain, faces):
    option = {
        "finetune": ("--seed", 77),
        "segment": ("--compactness", 3),
        "perturb": ("--seed", 77),
        "fit-surrogate": ("--kernel-width", 3),
        "render": ("--top", 4),
        "gradcam": ("--variant", "gradcam++"),
        "consensus": ("--stable-top", 2),
        "check": ("--seed", 3),
    }.get(stage)
    if stage == "contrast":
        other = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--kernel-width", 4)
        words = [stage, other.id, "--class", "normal", "--versus", "rosacea"]
    elif stage == "import-maps":
        words = words_of(stage, chain, faces)
        words[1] = chain.facelime.artifact("segment", "faces", "--split", "test", "--first", 3, "--method", "grid").id
    elif option is None:
        other = chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 5, "--seed", 8)
        words = [stage, other.id, "--model", "small"]
    else:
        words = [*words_of(stage, chain, faces), *option]
    result = chain.facelime(*words, "--missing", 3)
    assert (result.exit_code, result.stdout) == (0, "1,2,3\n")


@pytest.mark.parametrize("stage", CHAIN)
def test_every_parameter_is_known_to_this_suite(stage):
    markers = {name: extras for name, (_, extras) in hints(STAGES[stage].params).items()}
    counts, chooses, neutral = set(), set(), set()
    for name, extras in markers.items():
        if marker(extras, Execution):
            neutral.add(name)
        elif marker(extras, Resolved):
            chooses.add(name)
        elif not marker(extras, Input):
            counts.add(name)
    assert counts - set(CHANGES[stage]) == set()
    assert chooses - set(CHANGES[stage]) - CHOOSES == set()
    assert neutral - set(NEUTRAL[stage]) - CHOOSES == set()


GOES_WITH = {
    "features": {"surrogate": "forward"},
    "columns": {"figures": "png"},
    "dpi": {"figures": "png"},
    "ensemble": {"fold": "all"},
    "fill_sigma": {"fill": "blur"},
    "fine_tune_layers": {"fine_tune_epochs": 2},
    "fine_tune_rate": {"fine_tune_epochs": 2},
    "images": {"split": None},
    "kind": {"backbone": "mobilenetv2"},
    "l2": {"head": "8"},
    "minutes": {"backbone": "mobilenetv2"},
    "probability": {"design": "bernoulli"},
    "recipe": {"backbone": "cnn-deep"},
    "refit": {"backbone": "mobilenetv2"},
    "style": {"figures": "png"},
    "weights": {"backbone": "mobilenetv2"},
}
"""What else must be so for a parameter to mean something."""


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage in CHAIN for name in CHANGES[stage]])
def test_what_changes_the_result_changes_the_fingerprint(stage, name, chain, faces, context):
    base = base_params(stage, chain, faces)
    changes = {name: CHANGES[stage][name]}
    if stage == "segment" and name in METHOD_OF:
        base = dataclasses.replace(base, method=METHOD_OF[name], segments=None)
    if name == "confidence":
        base = dataclasses.replace(base, after=chain["fit-surrogate"].id)
    if name in {"fold", "ensemble"}:
        base = dataclasses.replace(
            base, dataset=chain.facelime.artifact("preprocess", faces, "--size", 16, "--folds", 3).id
        )
    base = dataclasses.replace(base, **GOES_WITH.get(name, {}))
    assert fingerprint(STAGES[stage], dataclasses.replace(base, **changes), context) != fingerprint(
        STAGES[stage], base, context
    )


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage in CHAIN for name in NEUTRAL[stage]])
def test_what_changes_nothing_does_not_change_the_fingerprint(stage, name, chain, faces, context):
    base = base_params(stage, chain, faces)
    changed = dataclasses.replace(base, **{name: NEUTRAL[stage][name]})
    assert (
        fingerprint(STAGES[stage], changed, context)
        == fingerprint(STAGES[stage], base, context)
        == chain[stage].fingerprint
    )


def test_two_ways_to_choose_the_same_pictures_are_one_artifact(chain, context):
    ids = chain["segment"].texts("id")
    base = STAGES["segment"].params(dataset="faces", images=",".join(reversed(ids)), method="slic", segments=12)
    assert fingerprint(STAGES["segment"], base, context) == chain["segment"].fingerprint


@pytest.mark.parametrize("stage", SHARDED)
@pytest.mark.parametrize("reference", ["nothing-like-this", "small"])
def test_a_wrong_reference_is_one_sentence(stage, reference, chain, faces):
    words = words_of(stage, chain, faces)
    words[1] = reference
    said = chain.facelime.fails(*words)
    assert reference in said
    assert ("reads" in said) == (reference == "small")


@pytest.mark.parametrize("stage", SHARDED)
@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b"])
def test_a_wrong_shard_is_a_wrong_command_line(stage, shard, chain, faces):
    assert "--shard" in chain.facelime.fails(*words_of(stage, chain, faces), "--shard", shard, code=2)

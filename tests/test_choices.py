"""One entry in one table is all that a new choice takes: help, validation and a run pick it up from there."""

import inspect
import json
import subprocess
import sys

import pytest

from facelime_cli import choices
from facelime_cli.choices import ATTRIBUTIONS, DESIGNS, FILLS, SEGMENTERS, SURROGATES

TABLES = {
    "segmenters": SEGMENTERS,
    "designs": DESIGNS,
    "fills": FILLS,
    "surrogates": SURROGATES,
    "attributions": ATTRIBUTIONS,
}
FIRST_ARGUMENTS = {
    "segmenters": ["image"],
    "designs": ["key", "n_samples", "n_segments", "probability"],
    "fills": ["image", "segments"],
    "surrogates": ["masks", "probabilities", "weights"],
}

INVENTED = """
import json, sys
import numpy as np
from facelime_cli import choices
from facelime_cli.choices import *
from facelime_cli.core import linear
from facelime_cli.models.backbones import BACKBONES, SCALINGS, Backbone, Scaling
from facelime_cli.answering.runtimes import FLOAT32, KERAS, RUNTIMES, Runtime

def halves(image):
    labels = np.zeros(image.shape[:2], np.int64)
    labels[:, image.shape[1] // 2 :] = 1
    labels[image.shape[0] // 2 :] += 2
    return labels

def one_by_one(key, n_samples, n_segments, probability):
    kept = np.ones((n_samples, n_segments), np.bool_)
    for row in range(1, n_samples):
        kept[row, (row - 1) % n_segments] = False
    return kept

def white(image, segments):
    return np.full_like(image, 255)

def doubled(masks, probabilities, weights):
    return linear.ridge(masks, probabilities, weights, alpha=2.0)

def flat(maps, gradients):
    return np.ones(maps.shape[:2])

def copied(model, how):
    from facelime_cli.answering.keras_networks import with_keras

    return with_keras(model, how)

def wide(filters):
    from facelime_cli.models.building import plain_blocks

    return plain_blocks(filters)

RUNTIMES["invented-runtime"] = Runtime(
    name="invented-runtime", words="Keras once more", function="__main__:copied",
    precisions={KERAS: (FLOAT32,)}, packages={})
BACKBONES["invented-net"] = Backbone(
    name="invented-net", words="two convolutions", function="__main__:wide", settings={"filters": (2, 2)},
    scaling="invented-scaling", size=48)
SCALINGS["invented-scaling"] = Scaling(
    name="invented-scaling", words="divide by 510", scale=(1 / 510,), offset=(0.0,))
SEGMENTERS["invented-halves"] = Segmenter(
    name="invented-halves", words="four quarters", function="__main__:halves", settings=COMMON,
    remedies=("enlarge the picture", "enlarge the picture"))
DESIGNS["invented-design"] = Design(name="invented-design", words="one after the other", function="__main__:one_by_one")
FILLS["invented-white"] = Fill(name="invented-white", words="plain white", function="__main__:white", stands="white")
SURROGATES["invented-ridge"] = Surrogate(
    name="invented-ridge", words="twice the penalty", function="__main__:doubled", settings=NEAR)
ATTRIBUTIONS["invented-map"] = Attribution(
    name="invented-map", words="the same everywhere", function="__main__:flat", title="Invented map")

from typer.testing import CliRunner
from facelime_cli.cli import app

answers = {}
for key, words in json.loads(sys.argv[1]).items():
    answer = CliRunner().invoke(app, words)
    answers[key] = [answer.exit_code, answer.stdout, answer.stderr]
print(json.dumps(answers))
"""
"""A program that adds an entry to each table before the command line is built, then runs commands."""
OPTIONS = {
    "segment": ("--method", "invented-halves", "four quarters"),
    "perturb": ("--fill", "invented-white", "plain white"),
    "fit-surrogate": ("--surrogate", "invented-ridge", "twice the penalty"),
    "gradcam": ("--variant", "invented-map", "the same everywhere"),
    "predict": ("--runtime", "invented-runtime", "Keras once more"),
    "finetune": ("--backbone", "invented-net", ""),
    "import-model": ("--scaling", "invented-scaling", "divide by 510"),
}
"""By command: the option that chooses, an invented entry, and its words where help gives these."""


def words_of(chain):
    """Return commands by a key: help, a wrong value and a run for each invented entry."""
    store = ["--store", str(chain.facelime.store), "--json"]
    commands = {f"{name} help": [name, "--help"] for name in OPTIONS}
    inputs = {
        "segment": "faces",
        "perturb": chain["segment"].id,
        "fit-surrogate": chain["predict"].id,
        "gradcam": chain["segment"].id,
        "predict": chain["perturb"].id,
        "finetune": "faces",
        "import-model": str(chain["finetune"].path / "model.keras"),
    }
    extra = {
        "predict": ["--model", "small"],
        "finetune": ["--epochs", "1", "--steps-per-epoch", "1"],
        "import-model": ["--classes", "normal,rosacea"],
        "gradcam": ["--model", "small"],
        "segment": ["--first", "2", "--workers", "1"],
        "perturb": ["--samples", "9"],
    }
    for name, (option, value, _) in OPTIONS.items():
        own = extra.get(name, [])
        commands[f"{name} wrong"] = [name, inputs[name], option, "nonsense", *own, *store]
        commands[f"{name} run"] = [name, inputs[name], option, value, *own, *store]
    commands["design run"] = ["perturb", inputs["perturb"], "--design", "invented-design", "--samples", "9", *store]
    return commands


@pytest.fixture(scope="module")
def answers(chain):
    done = subprocess.run(
        [sys.executable, "-c", INVENTED, json.dumps(words_of(chain))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", OPTIONS)
class TestInvented:
    def test_is_in_help(self, command, answers):
        code, text, _ = answers[f"{command} help"]
        _, value, words = OPTIONS[command]
        assert code == 0
        assert value in text.replace("\n", "").replace(" ", "")
        assert words in " ".join(text.split())

    def test_is_in_what_a_wrong_value_is_answered_with(self, command, answers):
        code, out, said = answers[f"{command} wrong"]
        assert (code, out) == (2, "")
        assert OPTIONS[command][1] in said.replace("\n", "").replace(" ", "").replace("│", "")

    def test_runs(self, command, answers):
        code, out, said = answers[f"{command} run"]
        assert code == 0, said
        assert json.loads(out)["complete"]


def test_an_invented_design_runs(answers, chain):
    from facelime_cli.core.masks import unpack
    from facelime_cli.store.references import Store

    code, out, said = answers["design run"]
    assert code == 0, said
    made = Store(chain.facelime.store).resolve(f"masks/{json.loads(out)['artifact']}")
    first = unpack(made.read("masks")[0], int(chain["segment"].read("n_segments")[0]))
    assert first[0].all()
    assert (~first[1:]).sum(axis=1).tolist() == [1] * 8
    assert made.parameters["design"] == "invented-design"


@pytest.mark.parametrize(("name", "entry"), [(n, e) for n, table in TABLES.items() for e in table.values()])
def test_every_entry_names_a_function_that_takes_its_settings(name, entry):
    takes = inspect.signature(entry.load()).parameters
    assert list(takes)[: len(FIRST_ARGUMENTS.get(name, []))] == FIRST_ARGUMENTS.get(name, [])
    own = set(takes) - set(FIRST_ARGUMENTS.get(name, []))
    if name == "segmenters":
        searched = {"segments"} if entry.scale is not None else set()
        assert set(entry.settings) - set(choices.COMMON) - searched <= own
    if name == "surrogates":
        assert set(entry.settings) - set(choices.NEAR) == own
    if name == "fills":
        assert own == ({entry.needs} if entry.needs else set())


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_entry_stands_under_its_name_and_says_what_it_does(table):
    assert all(entry.name == name and entry.words for name, entry in table.items())

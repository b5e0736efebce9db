"""Gate: what it measures, how it answers, and what it writes for a server."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.verdict import FAIR, STRONG
from facelime_cli.reporting.gates import figures
from tests.support import SIZE, Facelime


def conditions(run, *words):
    """Return what is measured, by condition; conditions need not hold."""
    result = run("gate", *words, "--json")
    assert result.exit_code in {0, 1}, result.stderr
    answer = json.loads(result.stdout)
    assert answer["holds"] is (result.exit_code == 0) is all(each["holds"] for each in answer["conditions"])
    return {each["condition"]: each for each in answer["conditions"]}


@pytest.fixture
def mask(tmp_path):
    """A mask of the right half of a picture."""
    half = np.zeros((SIZE, SIZE), np.uint8)
    half[:, SIZE // 2 :] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    return tmp_path / "half.png"


def said(chain):
    """Return each picture's most probable class."""
    return chain["predict"].read("probabilities")[:, 0].argmax(axis=1)


def test_the_share_that_the_model_confirms_is_that_of_the_stored_verdicts(chain, judged):
    for check in (chain["check"], judged.check):
        verdicts = [str(of[c]) for of, c in zip(check.read("verdict"), said(chain), strict=True)]
        held = [each in {STRONG, FAIR} for each in verdicts]
        found = conditions(chain.facelime, check.reference, "--confirmed", ">=0")["confirmed"]
        assert found["measured"] == sum(held) / len(held)
        assert found["of"] == f"{sum(held)} of {len(held)} explanations"
        ids = check.texts("id")
        assert found["against"] == [name for name, each in zip(ids, held, strict=True) if not each]


def test_every_share_of_a_verdict_can_be_a_condition(chain):
    check = chain["check"].reference
    options = ("needs-samples", "not-confirmed", "depends", "nothing")
    words = [word for each in options for word in (f"--verdict-{each}", "<=1")]
    found = conditions(chain.facelime, check, "--confirmed", "<=1", *words)
    assert list(found) == ["confirmed", *(f"verdict-{each}" for each in options)]
    assert sum(each["measured"] for each in found.values()) <= 1


def test_the_share_inside_a_mask_is_that_of_what_speaks_for_the_class(chain, mask):
    surrogates, segments = chain["fit-surrogate"], chain["segment"]
    found = conditions(chain.facelime, chain["check"].reference, "--inside", mask, ">=0.6")[f"inside {mask}"]
    shares = []
    for row, c in enumerate(said(chain)):
        of_pixel = segments.read("segments")[row]
        positive = np.maximum(surrogates.read("coefficients")[row, c], 0)
        # Each segment's coefficient is spread over its own pixels.
        spread = (positive / np.bincount(of_pixel.ravel(), minlength=len(positive)))[of_pixel]
        shares.append(spread[:, SIZE // 2 :].sum() / spread.sum())
    assert found["measured"] == pytest.approx(np.mean(shares), abs=1e-6)
    ids = surrogates.texts("id")
    assert found["against"] == [name for name, share in zip(ids, shares, strict=True) if share < 0.6]


def test_zones_need_no_mask(chain):
    found = conditions(chain.facelime, chain["fit-surrogate"].reference, "--inside", "lungs", "<=1")
    assert 0 < found["inside lungs"]["measured"] < 1


def test_figures_are_those_of_the_evaluation(chain):
    evaluation = chain["evaluate"]
    known = {name: value for name, (value, _) in figures(evaluation.facts).items() if value is not None}
    assert {"accuracy", "balanced_accuracy", "auc", "recall of normal"} <= set(known)
    words = [word for name in known for word in ("--figure", f"{name.replace('_', ' ')} >= -1000")]
    found = conditions(chain.facelime, evaluation.reference, *words)
    assert [each["measured"] for each in found.values()] == list(known.values())


@pytest.mark.parametrize("kind", ["check", "render"])
def test_the_issue_s_own_command(chain, mask, tmp_path, kind):
    """Reports stand for what they show. The model's only evaluation is found."""
    store = tmp_path / "store"
    shutil.copytree(chain.made_in, store)
    run, file = Facelime(store), tmp_path / "gate.xml"
    words = ["--inside", mask, ">=0.0", "--verdict-needs-samples", "<=1", "--accuracy", "<0", "--junit", file]
    # A report of unchecked surrogates knows of no verdict.
    words += ["--confirmed", ">=0"] if kind == "check" else []
    result = run("gate", chain.reference(kind), *words)
    assert result.exit_code == 1
    rows = [line.split() for line in result.stdout.splitlines() if " accuracy " in f" {line}"]
    measured = f"{chain['evaluate'].facts['accuracy']:.3f}"
    assert rows[0][:4] == ["accuracy", "<", "0", measured]
    assert result.stderr == "does not hold: accuracy.\n"
    root = ET.parse(file).getroot()  # noqa: S314 - our own
    assert root.get("failures") == "1"
    assert [each.get("name") for each in root.iter("testcase") if each.find("failure") is not None] == ["accuracy < 0"]
    words[words.index("<0")] = ">=0"
    again = run("gate", chain.reference(kind), *words)
    assert (again.exit_code, again.stderr) == (0, "every condition holds.\n")
    assert 'failures="0"' in file.read_text()


@pytest.mark.long
def test_several_evaluations_have_to_be_told_apart(chain, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(chain.made_in, store)
    run = Facelime(store)
    other = run.artifact("evaluate", "small", "--split", "validation", "--bootstrap", 100)
    words = ("gate", chain.reference("check"), "--accuracy", ">=0")
    assert "has 2 evaluations" in run.fails(*words)
    assert conditions(run, *words[1:], "--evaluation", other.id)["accuracy"]["measured"] == other.facts["accuracy"]


def test_what_cannot_be_measured_is_no_pass(chain, tmp_path):
    run, check = chain.facelime, chain.reference("check")
    file = tmp_path / "gate.xml"

    def fails(*words, code=1):
        error = run.fails("gate", *words, "--junit", file, code=code)
        assert not file.exists()
        return error

    surrogates = chain.reference("fit-surrogate")
    for option in ("--confirmed", "--verdict-not-confirmed", "--verdict-depends"):
        assert f"{option} needs a check of {surrogates}" in fails(surrogates, option, "<=1")
    assert "is an evaluation" in fails(chain.reference("evaluate"), "--confirmed", ">=0")
    assert "has no figure 'kappa of x'; it has accuracy" in fails(
        chain.reference("evaluate"), "--figure", "kappa of x>0"
    )
    assert "has no known regions" in fails(check, "--inside", "truth", ">=0")
    assert "is a folder" in fails(check, "--inside", tmp_path, ">=0")
    assert "holds no explanations" in fails(chain.reference("describe"), "--confirmed", ">=0")
    Image.new("L", (SIZE, SIZE)).save(tmp_path / "black.png")
    assert "is black everywhere" in fails(check, "--inside", tmp_path / "black.png", ">=0")
    Image.new("L", (SIZE + 1, SIZE), 255).save(tmp_path / "wide.png")
    assert f"has {SIZE + 1}×{SIZE} pixels" in fails(check, "--inside", tmp_path / "wide.png", ">=0")
    assert "--class chooses explanations" in fails(check, "--accuracy", ">=0", "--class", "normal", code=2)
    assert "is not needed" in fails(check, "--confirmed", ">=0", "--evaluation", "small", code=2)
    assert "there is no condition" in fails(check, code=2)


def test_a_class_that_was_not_checked_everywhere_is_no_pass(chain):
    """A check asks about each picture's own classes, unless more are named."""
    surrogates = chain["fit-surrogate"]
    one = chain.facelime.artifact("check", surrogates.reference, "--check-classes", "normal", "--name", "normal-alone")
    found = conditions(chain.facelime, one.reference, "--confirmed", ">=0", "--class", "normal")["confirmed"]
    assert found["of"].endswith(f" of {len(surrogates.texts('id'))} explanations")
    error = chain.facelime.fails("gate", one.reference, "--confirmed", ">=0", "--class", "rosacea")
    assert "did not check rosacea in 3 of 3 pictures" in error


@pytest.mark.long
def test_known_regions_count_where_the_model_says_the_true_class(tmp_path):
    """Nobody knows where an explanation of another class should point."""
    from facelime_cli.reporting.explanations import Explanations
    from tests.support import write_faces

    run = Facelime(tmp_path / "store")
    pictures, truth = write_faces(tmp_path / "faces", 24, truth=tmp_path / "truth"), tmp_path / "truth"
    data = run.artifact("preprocess", pictures, "--size", SIZE, "--truth", truth)
    model = run.artifact("finetune", data.id, "--backbone", "cnn-small", "--epochs", 1)
    segments = run.artifact("segment", data.id, "--method", "grid", "--segments", 9)
    masks = run.artifact("perturb", segments.id, "--samples", 40)
    predictions = run.artifact("predict", masks.id, "--model", model.id)
    surrogates = run.artifact("fit-surrogate", predictions.id)
    explanations = Explanations(surrogates)
    expected = []
    for row in range(len(explanations)):
        (c,) = explanations.said(row)
        found = explanations.overlap(row, c) if explanations.names[c] == explanations.label(row) else None
        expected += [] if found is None else [found.on_truth]
    words = ("gate", surrogates.reference, "--inside", "truth", ">=0")
    if not expected:
        assert "in none of these pictures" in run.fails(*words)
        return
    found = conditions(run, *words[1:])["inside truth"]
    assert found["measured"] == pytest.approx(np.mean(expected))
    assert found["of"].startswith(f"{len(expected)} explanation")


GUIDE = Path(__file__).parents[2] / "docs" / "gate.md"


def block(language):
    """Return the guide's example in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return found


@pytest.mark.long
def test_the_makefile_of_the_guide_stops_where_a_condition_does_not_hold(faces, tmp_path):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    program = tmp_path / "bin" / "facelime"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m facelime_cli "$@"\n')
    program.chmod(0o755)
    text = block("make")
    (tmp_path / "Makefile").write_text(text)
    # Bounds that hold whatever a network of two epochs has learned.
    easy = re.sub(r'">=0\.\d+"|>=0\.\d+"', lambda bound: re.sub(r"0\.\d+", "0", bound[0]), text).replace("<=0.1", "<=1")
    (tmp_path / "Easy").write_text(easy)
    assert easy != text
    small = ["SIZE=48", "TRAINING=--backbone cnn-small --epochs 2"]
    small.append("EXPLAINING=--first 2 --method grid --segments 16 --samples 60 --views fills")
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(GUIDE.parents[1])
    environment.pop("FACELIME_STORE", None)

    def make(file):
        words = ["make", "-f", file, "gate", f"DATA={faces}", *small]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = make("Easy")
    assert done.returncode == 0, done.stderr
    root = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314 - our own
    assert (root.get("tests"), root.get("failures")) == ("5", "0")
    stopped = make("Makefile")
    assert stopped.returncode != 0
    assert "does not hold: " in stopped.stderr
    assert 'failures="0"' not in (tmp_path / "gate.xml").read_text()


def test_the_workflow_of_the_guide_runs_the_makefile_and_hands_over_the_report():
    yaml = pytest.importorskip("yaml")
    steps = yaml.safe_load(block("yaml"))["jobs"]["gate"]["steps"]
    run = [each["run"] for each in steps if "run" in each]
    assert run[-1] == "make gate"
    (upload,) = [each for each in steps if "upload-artifact" in each.get("uses", "")]
    assert upload["if"] == "always()"
    assert f"--junit {upload['with']['path']}" in block("make")

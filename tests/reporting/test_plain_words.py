"""The first line of a picture: each sentence against what is stored, and each verdict in plain words."""

import re

import numpy as np
import pytest

from facelime_cli.core import verdict as words
from facelime_cli.reporting.checks import Confirmation
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.plain_words import Numbers, _too_small, first_line, how_to_check, numbers_of
from facelime_cli.reporting.stand_ins import StandIns
from facelime_cli.reporting.taken_apart import Others, Step, taken_apart
from tests.planted import CELLS, SIDE, planted_model, planted_pictures
from tests.support import Facelime, save_picture


def line(explanations, row, c, *, people=True):
    apart = taken_apart(explanations, StandIns(explanations, people=people), row, c)
    return " ".join(first_line(explanations, row, c, apart)), apart


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A network that looks at one cell of 25, and its answers to test pictures."""
    folder = tmp_path_factory.mktemp("planted")
    run = Facelime(folder / "store")
    run.json("preprocess", planted_pictures(folder / "pictures"), "--size", SIDE, "--name", "noise")
    model = planted_model(folder / "square.keras")
    run.json("import-model", model, "--classes", "dark,bright", "--scaling", "0..1", "--name", "square")
    return run


def confirmed(run, n_cells):
    """Return the check of LIME on so many cells, and a bright picture's row."""
    segments = run.artifact("segment", "noise", "--split", "test", "--method", "grid", "--segments", n_cells)
    masks = run.artifact("perturb", segments.id, "--samples", 150)
    surrogates = run.artifact("fit-surrogate", run.artifact("predict", masks.id, "--model", "square").id)
    return bright(run.artifact("check", surrogates.id))


def bright(check):
    explanations = Explanations.of(check)
    return explanations, next(row for row, name in enumerate(explanations.ids) if name.startswith("bright"))


def test_strong(planted):
    explanations, row = confirmed(planted, CELLS**2)
    said, apart = line(explanations, row, 1)
    assert explanations.verdict(row, 1) == words.STRONG
    course = apart.courses[0]
    step, full = course.step(apart.number), course.steps[0]
    numbers = numbers_of(explanations, step)
    assert said.startswith(f"The model says bright ({numbers.one(full.answer)}). Without the ")
    assert "11" in said.partition("speak")[2].partition(")")[0]
    then = re.search(r"it gives bright (\S+( \d+)?) % and says dark \((\S+( \d+)?) %\)", said)
    assert then[1] == numbers.bare(step.answer)
    assert f"it gives bright {numbers.span(step.others.low, step.others.high)}: more " in said
    assert re.search(r"(for|in) all \d+", said)
    assert "The most similar picture of class dark (another patient) stood in their place." in said
    assert said.endswith("The model confirms these regions with all 4 kinds of replacement.")


def test_other_people_are_not_what_the_first_line_is_about(planted):
    explanations, row = confirmed(planted, CELLS**2)
    said, apart = line(explanations, row, 1, people=False)
    assert apart.courses[0].stand_in.fill != "nearest-unlike"
    assert "another patient" not in said


def test_fair(planted):
    """With fewer than 20 regions the first of them alone cannot be confirmed."""
    explanations, row = confirmed(planted, 16)
    assert explanations.verdict(row, 1) == words.FAIR
    said, _ = line(explanations, row, 1)
    assert "Without 3 random others it gives bright " in said
    assert said.endswith("kinds of replacement. Read them together, not one by one.")


def test_a_map_that_points_elsewhere_is_not_confirmed(planted, tmp_path):
    segments = planted.artifact("segment", "noise", "--split", "test", "--method", "grid", "--segments", CELLS**2)
    small = np.linspace(1, 6, CELLS**2).astype(np.uint8)
    small[11], small[3] = 0, 255
    for name in segments.texts("id"):
        save_picture(tmp_path / f"{name}.png", np.kron(small.reshape(CELLS, CELLS), np.ones((10, 10), np.uint8)))
    explanations, row = bright(planted.artifact("check", segments.id, "--model", "square", "--maps", tmp_path))
    assert explanations.verdict(row, 1) == words.NOT_CONFIRMED
    said, apart = line(explanations, row, 1)
    step = apart.courses[0].step(apart.number)
    assert (
        f"(3, {apart.order[1]} and {apart.order[2]}) it gives bright {numbers_of(explanations, step).one(step.answer)}."
        in said
    )
    assert "The model does not confirm these regions" in said
    assert said.endswith("Do not read the map.")


def test_a_consensus_of_several_views(judged):
    explanations = Explanations.of(judged.check)
    for row in range(len(explanations)):
        for c in explanations.shown(row, None):
            said, apart = line(explanations, row, c)
            called = int(explanations.answers_of(row).argmax())
            assert said.startswith(f"The model says {explanations.names[called]} (")
            assert (apart is None) == ("The check did not ask the model about this class." in said)
            if apart is None:
                continue
            k = apart.number
            regions = ", ".join(map(str, apart.order[: k - 1])) + f" and {apart.order[k - 1]}" if k > 1 else ""
            assert regions in said
            assert f"({apart.order[0]}" in said or f"(region {apart.order[0]})" in said


def test_another_fill(chain):
    """What stood in is the explanation's own fill, and not the one that a check lists first."""
    run = chain.facelime
    masks = run.artifact("perturb", chain["segment"].id, "--samples", 60, "--fill", "black")
    surrogates = run.artifact(
        "fit-surrogate", run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16).id
    )
    explanations = Explanations.of(run.artifact("check", surrogates.id))
    c = explanations.said(0)[0]
    said, apart = line(explanations, 0, c)
    assert apart.courses[0].stand_in.fill == "black"
    assert "Black stood in their place." in said or explanations.verdict(0, c).startswith(words.NOTHING)
    assert len(apart.courses) == 5


def test_a_contrast_is_told_in_points(chain):
    explanations = Explanations.of(chain.facelime.artifact("check", chain.reference("contrast")))
    said, apart = line(explanations, 0, 0)
    full = apart.courses[0].steps[0].answer
    assert f"a difference of {Numbers(difference=True).one(full)}." in said
    assert "the difference is " in said


def test_without_a_check_it_says_so_and_what_to_do(judged, chain):
    explanations = Explanations(chain["fit-surrogate"])
    c = explanations.said(0)[0]
    said, apart = line(explanations, 0, c)
    assert apart is None
    strongest = int(explanations.coefficients(0, c).argmax())
    assert f"The explanation says that regions {strongest}, " in said or f"region {strongest} speaks" in said
    sentence = how_to_check(explanations)
    assert f"`facelime check {explanations.surrogates.reference} | facelime render -`" in sentence
    assert how_to_check(Explanations.of(judged.check)) == ""


def test_the_command_that_is_said_does_what_it_says(chain):
    command = re.search(r"`facelime (.*) \| facelime render -`", how_to_check(Explanations(chain["fit-surrogate"])))[1]
    checked = chain.facelime(*command.split()).stdout
    report = chain.facelime.artifact("render", "-", stdin=checked)
    assert report.inputs["surrogates"]["kind"] == "checks"
    assert 'class="apart"' in (report.path / "index.html").read_text(encoding="utf-8")


HELD = np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([[0.025, 0.025, 0.025, 0.9]])
ONE = np.array([[0.0, 1.0, 0.0, 0.0]]), np.array([[0.9, 0.025, 0.9, 0.9]])
NONE = np.array([[0.0, 0.0, 0.0, 0.0]]), np.array([[0.9, 0.9, 0.9, 0.9]])


@pytest.mark.parametrize(
    ("verdict", "answered", "sentence"),
    [
        (words.STRONG, HELD, "The model confirms these regions with 3 of 4 kinds of replacement."),
        (
            words.DEPENDS,
            ONE,
            "with only 1 of 4 kinds of replacement, but not with the one shown here",
        ),
        (words.NOT_CONFIRMED, NONE, "The model does not confirm these regions: it loses not clearly more without them"),
        (words.NEEDS_MORE + "2,400", NONE, "the samples are too few. Repeat it with about 2,400 samples."),
        (words.NOTHING, NONE, "its answer hardly moves, whatever is replaced."),
        (words.SATURATED, NONE, "its answer is so near to 0 or 100 % that no change can be told."),
        (words.TOO_NARROW, NONE, "Use a larger --kernel-width."),
        (words.TOO_FEW_REGIONS, NONE, "there are too few regions to compare with. Use more --segments."),
    ],
)
def test_every_verdict_ends_in_a_sentence_of_its_own(judged, monkeypatch, verdict, answered, sentence):
    explanations = Explanations.of(judged.check)
    c = int(np.flatnonzero(judged.check.read("verdict")[0] != "")[0])
    said = Confirmation([3], judged.check.facts["fills"], *answered)
    monkeypatch.setattr(explanations, "verdict", lambda *_: verdict)
    monkeypatch.setattr(explanations, "confirmation", lambda *_: said)
    found, _ = line(explanations, 0, c)
    assert sentence in found
    # One of these, and not two.
    outcomes = ("confirms these", "not confirm these", "too few", "nothing to explain", "worth little")
    assert sum(each in found for each in outcomes) == 1


def test_a_difference_that_is_too_small_is_said():
    """In all draws more, and yet not confirmed: then the difference is what is missing."""
    assert (
        _too_small(Step(3, 0.90, "", 0.0, Others(0.905, 0.91, 39, 39)))
        == ", where the difference is too small to count"
    )
    assert _too_small(Step(3, 0.90, "", 0.0, Others(0.88, 0.91, 39, 20))) == ""
    assert _too_small(Step(3, 0.90, "", 0.0, None)) == ""


def test_numbers_that_differ_look_different(judged):
    explanations = Explanations.of(judged.check)
    near = Step(3, 0.9912, "", 0.0, Others(0.9931, 0.997, 39, 39))
    numbers = numbers_of(explanations, near)
    assert (numbers.one(near.answer), numbers.span(near.others.low, near.others.high)) == ("99.1 %", "99.3 to 99.7 %")
    # Within the range nothing has to be told apart.
    inside = Step(3, 0.9912, "", 0.0, Others(0.9902, 0.997, 39, 20))
    assert numbers_of(explanations, inside).digits == 0

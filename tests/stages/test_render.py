"""`render`: what it reads and what it refuses."""

import pytest
from PIL import Image

from facelime_cli.console import Console
from facelime_cli.core.faces import draw
from facelime_cli.core.verdict import word_of
from facelime_cli.engine import Context
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.stages import render
from facelime_cli.store.references import Store
from tests.support import fingerprint


@pytest.mark.parametrize(("option", "value"), [("--figures", "gif"), ("--style", "lime")])
def test_what_is_no_figure(chain, option, value):
    assert "--figures" in chain.facelime.fails("render", chain["fit-surrogate"].id, option, value, code=2)


def test_who_says_nothing_at_all_is_refused(chain):
    before = len(chain.facelime.json("status")["artifacts"])
    said = chain.facelime.fails("render", chain["fit-surrogate"].id, "--beside", chain["contrast"].id)
    assert f"surrogates/{chain['contrast'].id} explains none" in said
    assert len(chain.facelime.json("status")["artifacts"]) == before


def test_the_same_twice_and_other_pictures_are_refused(chain, tmp_path):
    first = chain["fit-surrogate"]
    assert "name each explanation once" in chain.facelime.fails("render", first.id, "--beside", first.id, code=2)
    for number in range(6):
        Image.fromarray(draw(number, number, 48, flushed=number % 2 == 0).image).save(tmp_path / f"{number}.png")
    run = chain.facelime
    segments = run.artifact("segment", run.artifact("preprocess", tmp_path, "--size", 48).id, "--method", "grid")
    strange = run.artifact("occlusion", segments.id, "--model", "small")
    assert "another dataset" in chain.facelime.fails("render", first.id, "--beside", strange.id)


def test_a_check_stands_for_what_it_checked(judged):
    run = judged.facelime
    report = run.artifact("render", "-", stdin=f"{judged.check.reference}\n")
    assert report.inputs["surrogates"]["id"] == judged.check.id
    assert report.texts("id") == judged.consensus.texts("id")
    beside = run.artifact("render", judged.check.reference, "--beside", judged.views[0].reference)
    assert beside.inputs["beside_0"]["id"] == judged.views[0].id
    said = run.fails("render", judged.check.reference, "--beside", judged.consensus.reference, code=2)
    assert "name each explanation once" in said


def test_stand_ins_are_left_out_only_when_asked(judged):
    run = judged.facelime
    usual = run.artifact("render", judged.check.reference)
    without = run.artifact("render", judged.check.reference, "--no-stand-ins")
    assert "no_stand_ins" not in usual.parameters
    assert without.parameters["no_stand_ins"] is True
    assert without.id != usual.id
    assert f"facelime render checks/{judged.check.id} --top 10 --no-stand-ins" in (
        without.path / "index.html"
    ).read_text(encoding="utf-8")
    drawn = [len(list((report.path / "stand-ins").iterdir())) for report in (usual, without)]
    assert drawn == [3 * 5, 3 * 3]
    verified = run.json("verify", without.reference)
    assert verified


@pytest.fixture(scope="module")
def printed(judged):
    """A report of a check with figures, plates and their caption."""
    words = ("--figures", "png,svg", "--dpi", 80, "--columns", 2, "--classes", "rosacea", "--workers", 1)
    return judged.facelime.artifact("render", judged.check.reference, *words)


def caption_of(report):
    return report.file("figures/caption.txt").read_text(encoding="utf-8")


class TestPrinted:
    def test_all_pictures_are_on_plates_in_every_format(self, printed):
        for ending in ("png", "svg"):
            assert printed.file(f"figures/plate-001.{ending}").stat().st_size > 1000
        with Image.open(printed.file("figures/plate-001.png")) as plate:
            assert round(plate.info["dpi"][0]) == 80
        with Image.open(printed.file("figures/00000-class1.png")) as figure:
            assert round(figure.info["dpi"][0]) == 80

    def test_the_caption_says_what_made_the_figures(self, printed, judged):
        text, check = caption_of(printed), judged.check
        model, dataset = check.input("models"), check.input("datasets")
        for each in (model, dataset):
            assert f"{each.reference} (digest {each.content[:16]}" in text
        assert "Method: LIME, consensus of 4 views." in text
        assert "Segments: slic (segments of similar size that follow colours), " in text
        # Three views of 60 samples, and one of 90.
        assert "Samples: 270 for each picture." in text
        assert "replaced by the most similar picture of another class, a blurred copy and" in text
        assert "Surrogate: ridge." in text
        assert "the 10 strongest segments are coloured" in text
        assert f"({check.reference})" in text
        verdicts = [word_of(str(of[1])).text for of in check.read("verdict")]
        for verdict in set(verdicts):
            assert f"{verdicts.count(verdict)} {verdict}" in text

    def test_the_caption_names_what_each_letter_is(self, printed, judged):
        last = caption_of(printed).splitlines()[-1]
        probabilities = Explanations.of(judged.check).answers[:, 1]
        for letter, name, value in zip("abc", judged.check.texts("id"), probabilities, strict=True):
            assert f"({letter}) {name}: rosacea {100 * value:.1f} %, " in last

    def test_figures_of_unchecked_explanations_say_so(self, chain):
        words = ("--figures", "png", "--dpi", 50, "--classes", "normal", "--style", "heatmap", "--workers", 1)
        report = chain.facelime.artifact("render", chain.reference("gradcam"), *words)
        text = caption_of(report)
        assert "Method: Grad-CAM." in text
        assert "Not checked by the model." in text
        assert "Blue speaks for the class, red against it; the scale ends at ±" in text
        for absent in ("Samples:", "replaced by", "Surrogate:", "plate-"):
            assert absent not in text
        assert not list((report.path / "figures").glob("plate-*"))

    def test_what_is_at_its_default_makes_no_other_report(self, chain):
        """Reports that were made before the options existed are found again."""
        surrogates = chain.reference("fit-surrogate")
        context = Context(Store(chain.facelime.store), Console(quiet=True))

        def made(**options):
            return fingerprint(render.STAGE, render.Params(surrogates=surrogates, **options), context)

        assert made(figures="png", dpi=300) == made(figures="png")
        assert len({made(figures="png"), made(figures="png", dpi=200), made(figures="png", columns=3)}) == 3

"""Explanations of several models and methods side by side in one report."""

import csv
import re
import shlex
from html import unescape

import numpy as np
import pytest

from facelime_cli.core.agreement import Attribution, agreement
from facelime_cli.drawing import overlay
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.reporting.report import WHOLE_SCALE, Report, Request
from facelime_cli.reporting.voices import same_classes
from facelime_cli.store.artifacts import Artifact
from tests.browser import Browser, needs_chromium


@pytest.fixture(scope="module")
def voices(chain):
    """Return LIME, Grad-CAM over the same segments, and LIME over other segments of two of the three pictures."""
    run = chain.facelime
    cam = run.artifact("gradcam", chain["fit-surrogate"].id)
    other = run.artifact(
        "segment", "faces", "--split", "test", "--first", 2, "--method", "grid", "--segments", 9, "--name", "squares"
    )
    masks = run.artifact("perturb", other.id, "--samples", 60)
    fitted = run.artifact("fit-surrogate", run.artifact("predict", masks.id, "--model", "small").id)
    return chain["fit-surrogate"], cam, fitted


@pytest.fixture(scope="module")
def report(chain, voices):
    first, cam, other = voices
    return chain.facelime.artifact(
        "render",
        first.id,
        "--beside",
        cam.id,
        "--beside",
        f"surrogates/{other.id}",
        "--classes",
        "rosacea",
        "--by-zone",
        "face",
    )


def page_of(report):
    return (report.path / "index.html").read_text(encoding="utf-8")


def drawings(page):
    """Return each picture's drawings, as the numbers of the outlines that they use."""
    return [
        [re.findall(r'<use href="#p\d+-([\d-]+)"', side) for side in article.split('<section class="side"')[1:]]
        for article in page.split('<article class="picture"')[1:]
    ]


def test_every_voice_has_its_drawing_over_its_own_segments(report, voices):
    found = drawings(page_of(report))
    assert [len(each) for each in found] == [3, 3, 2]
    counts, other = voices[0].input("segments").read("n_segments"), voices[2].input("segments").read("n_segments")
    for row, sides in enumerate(found):
        assert sorted(sides[0]) == sorted(sides[1]) == sorted(str(k) for k in range(counts[row]))
        if row < 2:
            assert sorted(sides[2]) == sorted(f"1-{k}" for k in range(other[row]))


def test_every_outline_that_is_used_is_there(report):
    page = page_of(report)
    assert set(re.findall(r'<use href="#(p[\d-]+)"', page)) <= set(re.findall(r'<path id="(p[\d-]+)"', page))


def test_explanations_of_different_units_share_one_scale(report, voices):
    page = page_of(report)
    assert page.count('class="scale"') == 1
    assert "percent of its explanation</span>" in page
    assert "explanations of different units share one scale" in page
    # The end of the scale is a share of each explanation, so that equal shares have one colour.
    end = float(re.search(r"<span>\+([\d.]+) percent of its explanation", page)[1])
    sides = page.split('<section class="side"')[1:]
    for side, each in zip(sides[:2], voices[:2], strict=True):
        count = voices[0].input("segments").read("n_segments")[0]
        values = each.read("coefficients")[0, 1, :count]
        shares = 100 * values / np.abs(values).sum()
        drawn = re.findall(r'-(\d+)" class="r [^"]*"[^>]*? fill="(#\w{6})"', side)
        assert drawn
        for k, paint in drawn:
            assert paint == "#{:02x}{:02x}{:02x}".format(*overlay.colour(shares[int(k)], end))


def test_later_shards_keep_the_one_scale_of_the_first(report, voices, monkeypatch):
    request = Request(classes=[1], top=10, by_zone="face", single_file=False, style="facelime")
    measured = Report(voices, request).whole_scale
    assert report.execution[WHOLE_SCALE] == measured
    monkeypatch.setattr(Artifact, "execution", property(lambda _: {**report.layout["execution"], WHOLE_SCALE: 33.0}))
    later = Report(voices, request)
    later.keep_to(report)
    assert later.whole_scale == 33.0 != measured
    # What is no end of a scale is measured again.
    monkeypatch.setattr(Artifact, "execution", property(lambda _: {WHOLE_SCALE: "75"}))
    again = Report(voices, request)
    again.keep_to(report)
    assert again.whole_scale == measured


def test_who_was_not_checked_is_told_how(report):
    page = page_of(report)
    assert page.count('<td class="number">not checked</td>') == 3
    assert page.count("Check it with <code>facelime check</code>") == 3


def test_each_explanation_says_in_how_many_pictures_the_model_confirms_it(judged):
    run = judged.facelime
    other = run.artifact("check", judged.views[0].reference)
    report = run.artifact("render", judged.check.reference, "--beside", other.reference, "--top", 4)
    told = re.findall(r"<strong>(\d+)&nbsp;%</strong></td><td>(\d+) of (\d+) checked pictures", page_of(report))
    assert len(told) == 2
    for (share, held, checked), each in zip(told, (judged.check, other), strict=True):
        explanations = Explanations.of(each)
        first = [(row, explanations.shown(row, None)[0]) for row in range(3)]
        judged_ones = [at for at in first if not np.isnan(each.read("effect")[at]).all()]
        verdicts = [explanations.verdict(*at) for at in judged_ones]
        confirmed = sum(verdict in {"strong", "fair"} for verdict in verdicts)
        assert (int(held), int(checked)) == (confirmed, len(judged_ones))
        assert share == f"{100 * confirmed / len(judged_ones):.0f}"


def test_who_says_nothing_of_a_picture_has_a_sentence_for_it(report):
    page = page_of(report)
    assert page.count(" does not explain this picture.</p>") == 1
    assert [article.count('class="class several"') for article in page.split('<article class="picture"')[1:]] == [
        1,
        1,
        1,
    ]


def test_agreement_with_the_first_is_told(report, voices):
    first, cam, other = voices
    segments = first.input("segments").read("segments")[0]
    count = int(segments.max()) + 1
    same = agreement(*(Attribution(segments, each.read("coefficients")[0, 1, :count]) for each in (first, cam)), 10)
    its_segments = other.input("segments").read("segments")[0]
    its = agreement(
        Attribution(segments, first.read("coefficients")[0, 1, :count]),
        Attribution(its_segments, other.read("coefficients")[0, 1, : int(its_segments.max()) + 1]),
        10,
    )
    article = page_of(report).split('<article class="picture"')[1]
    told = re.findall(
        r"(\d+) % (are in|is marked alike in) both"
        r"(?:, and (\d+) % (?:of what is marked in both has|have) another sign)?"
        r"(?:; rank correlation ([+−]?\d\.\d+))?",
        article,
    )
    for (share, words, flips, rank), each, alike in zip(
        told, (same, its), ("are in", "is marked alike in"), strict=True
    ):
        assert (share, words) == (f"{100 * each.jaccard:.0f}", alike)
        assert flips == ("" if np.isnan(each.sign_flips) else f"{100 * each.sign_flips:.0f}")
        assert (
            rank == ""
            if np.isnan(each.rank_correlation)
            else float(rank.replace("−", "-")) == pytest.approx(each.rank_correlation, abs=0.005)
        )


@pytest.mark.long
def test_another_model_says_its_own_answer(chain, voices):
    run = chain.facelime
    run.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--seed", 61, "--name", "second-voice")
    other = run.artifact("occlusion", voices[0].input("segments").id, "--model", "second-voice")
    report = run.artifact("render", voices[0].id, "--beside", other.id, "--classes", "rosacea")
    probability = float(other.read("probabilities")[0, 1])
    page = page_of(report)
    assert f"second-voice says {100 * probability:.1f} %" in page
    assert len(re.findall(r"“\+12 points” of [^”]*? means: (keeping|switching) this region", page)) == 2
    assert "All pictures share one colour scale" in page


def test_the_table_names_each_explanation(report, voices):
    rows = list(csv.DictReader((report.path / "coefficients.csv").open()))
    named = list(dict.fromkeys(row["explanation"] for row in rows))
    assert len(named) == 3
    counts = voices[0].input("segments").read("n_segments").sum(), voices[2].input("segments").read("n_segments").sum()
    assert [sum(row["explanation"] == name for row in rows) for name in named] == [counts[0], counts[0], counts[1]]
    cam = [float(row["coefficient"]) for row in rows if row["explanation"] == named[1] and row["id"] == rows[0]["id"]]
    assert sorted(cam) == pytest.approx(
        sorted(voices[1].read("coefficients")[0, 1, : voices[0].input("segments").read("n_segments")[0]])
    )


def test_the_command_at_its_foot_makes_the_same_again(chain, report):
    last = [unescape(line) for line in page_of(report).splitlines() if line.startswith("facelime render")][-1]
    assert chain.facelime.json(*shlex.split(last)[1:])["artifact"] == report.id


def test_its_readers_show_its_own_explanations(chain, report, voices, tmp_path):
    run, reference = chain.facelime, f"reports/{report.id}"
    told = run("show", reference, "--format", "csv", "--classes", "rosacea").stdout
    assert told == run("show", f"surrogates/{voices[0].id}", "--format", "csv", "--classes", "rosacea").stdout
    run.json("show", reference, "--png", tmp_path / "look.png")
    run.json("export", reference, "--to", tmp_path / "report.h5", "--with-stand-ins")
    assert run("verify", reference).exit_code == 0
    assert run.json("show", reference)["artifact"] == report.id


def test_one_class_needs_no_tab(report):
    page = page_of(report)
    assert page.count('<input type="radio"') == page.count(' checked hidden aria-label="Explain rosacea">') == 3


def test_classes_of_two_lists():
    assert same_classes(["crane", "cat", "crane"], ["crane", "cat", "crane"]) == {0: 0, 1: 1, 2: 2}
    assert same_classes(["crane", "cat", "crane", "dog"], ["dog", "crane", "cat", "cat"]) == {3: 0}


def test_two_classes_with_one_name(chain, tmp_path):
    """As in the list of a thousand classes, which has two cranes."""
    from facelime_cli.models.backend import keras

    k, run = keras(), chain.facelime
    network = k.Sequential(
        [k.Input((48, 48, 3)), k.layers.GlobalAveragePooling2D(), k.layers.Dense(3, activation="softmax")]
    )
    network.set_weights([np.array([[9.0, -3, 0], [-3, 9, 0], [0, 0, 1]]), np.zeros(3)])
    network.save(tmp_path / "birds.keras")
    (tmp_path / "names.txt").write_text("crane\ncat\ncrane\n")
    model = run.artifact(
        "import-model", tmp_path / "birds.keras", "--classes", f"@{tmp_path / 'names.txt'}", "--scaling", "0..1"
    )
    first, other = (
        run.artifact("occlusion", chain["segment"].id, "--model", model.id, "--fill", fill)
        for fill in ("black", "mean")
    )
    report = run.artifact("render", first.id, "--beside", other.id, "--classes", "0,2")
    assert [len(each) for each in drawings(page_of(report))] == [4, 4, 4]
    rows = list(csv.DictReader((report.path / "coefficients.csv").open()))
    last = [
        float(row["coefficient"])
        for row in rows
        if row["id"] == rows[-1]["id"] and row["explanation"] == rows[-1]["explanation"]
    ]
    count = first.input("segments").read("n_segments")[2]
    assert sorted(last[count:]) == pytest.approx(sorted(other.read("coefficients")[2, 2, :count]))


@needs_chromium
def test_pointing_tells_of_the_region_in_every_voice_that_has_it(report):
    with Browser() as browser:
        browser.open(report.path / "index.html")
        told = "[...document.querySelectorAll('#p00000 .told')].map(e => e.textContent)"
        browser.ask("document.querySelector('#p00000 .drawn svg').focus()")
        browser.press("Home")
        one, same, other = browser.ask(told)
        assert one.startswith("Region ")
        assert same.startswith(one.partition(":")[0] + ":")
        assert "%" in same
        assert other.startswith("Point at a region")
        assert browser.ask("[...document.querySelectorAll('#p00000 .told')].map(e => e.getAttribute('aria-live'))") == [
            "polite",
            "off",
            "polite",
        ]
        browser.press("Escape")
        assert all(each.startswith("Point at a region") for each in browser.ask(told))
        browser.ask("document.querySelectorAll('.overview tbody tr')[1].dataset.r2 = ''")
        for _ in range(2):
            browser.click(".overview th[data-key=r2] button")
            assert browser.ask("[...document.querySelectorAll('.overview tbody tr')].map(e => e.dataset.r2)")[-1] == ""
        browser.size(390, 900)
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        assert browser.console == []

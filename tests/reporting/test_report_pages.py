"""The pages of a report: pictures, coefficients and colours, names as text."""

import re
from pathlib import Path

from PIL import Image

from facelime_cli.core.verdict import Worth, word_of
from facelime_cli.drawing import overlay
from facelime_cli.reporting import pages, report_records
from facelime_cli.reporting.explanations import Explanations


def test_the_page_asks_nothing_of_outside_and_shows_its_pictures(chain):
    page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    for name in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert name.startswith("data:") or (chain["render"].path / name).is_file()
    for picture_id in chain["render"].store.stored("segments", chain["segment"].id).texts("id"):
        assert picture_id in page
    assert page.count('class="fidelity"') == 6
    assert f"facelime fit-surrogate predictions/{chain['predict'].id}" in page


def test_a_page_holds_every_coefficient_with_its_colour(chain):
    page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
    full, coefficients = (
        chain["predict"].read("probabilities")[0, 0],
        chain["fit-surrogate"].read("coefficients")[0],
    )
    c, scale = int(full.argmax()), chain["render"].facts["scale_probability_points"]
    drawing = page.partition('class="drawn')[2].partition("</figure>")[0]
    for k, value in enumerate(coefficients[c, : chain["segment"].read("n_segments")[0]]):
        region = re.search(rf'<use href="#p00000-{k}" class="r ([^"]*)"[^>]*>.*?</use>', drawing)
        assert pages.signed(100 * value) in region[0]
        assert ("t" if value > 0 else "a") in region[1].split()
        assert ("u" in region[1].split()) == ("may be nothing" in region[0])
        red, green, blue = overlay.colour(100 * value, scale)
        assert "u" in region[1].split() or f'fill="#{red:02x}{green:02x}{blue:02x}"' in region[0]


def test_a_single_file_needs_none_beside_it(chain):
    report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--single-file")
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert {name.partition(",")[0] for name in re.findall(r'(?:src|<image [^>]*href)="([^"]+)"', page)} == {
        "data:image/jpeg;base64"
    }
    # Each picture once, its small copy in the overview, and what stood in.
    assert page.count("data:image/jpeg") == 3 + 3 + 3
    assert page.count('-photo"/>') == 3 * (1 + 2)


def page_of(judged, *words):
    report = judged.facelime.artifact("render", *words)
    return report, (report.path / "index.html").read_text(encoding="utf-8")


def test_a_checked_page_says_what_the_model_answered(judged):
    report, page = page_of(judged, judged.check.reference)
    explanations = Explanations.of(judged.check)
    for row in range(3):
        c = explanations.shown(row, None)[0]
        verdict = explanations.verdict(row, c)
        assert f"{verdict[:1].upper()}{verdict[1:]}</span> {word_of(verdict).meaning}" in page
        assert explanations.confirmation(row, c).words("region") in page
        off = ", ".join(str(each) for each in explanations.check.strongest(row, c))
        assert f"What the model answers without regions {off}" in page
    assert "Does the model lose more without the 3 regions that speak most for its class than without 3 others?" in page
    assert "of 4 views" in page
    assert "only for checking" in page
    for name in re.findall(r'src="((?:stand-ins|examples)/[^"]+)"', page):
        assert (report.path / name).is_file()
    assert set(re.findall(r'src="stand-ins/(\d+)-', page)) == {"00000", "00001", "00002"}


def test_a_class_that_the_check_left_out_says_how_to_check_it(judged):
    _, page = page_of(judged, judged.check.reference)
    left_out = (judged.check.read("verdict") == "").sum()
    assert page.count("facelime check --check-classes</code>") == left_out


def test_low_words_are_drawn_pale(judged):
    _, page = page_of(judged, judged.check.reference)
    explanations = Explanations.of(judged.check)
    shown = [(row, c) for row in range(3) for c in explanations.shown(row, None)]
    pale = [word_of(explanations.verdict(*each)).pale for each in shown]
    assert page.count('class="drawn pale"') == sum(pale)
    assert page.count("Drawn pale, since it may mislead.") == sum(pale)


def test_what_a_word_was_worth_is_said_where_it_was_measured(judged, monkeypatch):
    explanations = Explanations.of(judged.check)
    word = word_of(explanations.verdict(0, explanations.shown(0, None)[0])).text
    monkeypatch.setattr(report_records, "WORTH", {})
    assert "planted" not in page_of(judged, judged.check.reference, "--top", 4)[1]
    monkeypatch.setattr(report_records, "WORTH", {word: Worth(99, 100)})
    said = "Measured for this word: in 95 to 100 of 100 pictures with a planted cause"
    assert said in page_of(judged, judged.check.reference, "--top", 5)[1]


def test_an_impossible_answer_has_its_meaning(chain, monkeypatch):
    read = Explanations.figures
    monkeypatch.setattr(Explanations, "figures", lambda *of: {**read(*of), "local_prediction": 1.53, "r2": 0.2})
    report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--top", 3)
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert (
        page.count("153.0&nbsp;% (the sum of the coefficients overshoots, which means that regions act together)") == 6
    )
    assert "Regions act together: R²&nbsp;0.20" in page


def test_the_overview_counts_and_filters_by_word(judged):
    _, page = page_of(judged, judged.check.reference)
    explanations = Explanations.of(judged.check)
    words = [word_of(explanations.verdict(row, explanations.shown(row, None)[0])).text for row in range(3)]
    assert re.findall(r'data-verdict="([^"]+)"', page) == words
    for text in set(words):
        assert f'<option value="{text}">' in page
        assert f"{text[:1].upper()}{text[1:]}</span>&nbsp;{words.count(text)}" in page


def test_other_people_are_not_in_the_file_that_is_handed_over(judged):
    _, page = page_of(judged, judged.check.reference, "--single-file", "--no-stand-ins")
    assert "(another patient)" not in page
    assert page.count("This report leaves it out.") == 3
    assert "a blurred copy" in page


def test_names_that_are_markup_stay_text(facelime, tmp_path):
    folder = tmp_path / "odd"
    for label in ("<script>alert(1)</script>", 'رمادي & "grey"'):
        for number in range(10):
            name = label.replace("/", "⁄")  # a slash cannot be in a file's name
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.effect_noise((32, 32), 40 + number).convert("RGB").save(folder / name / f"图片 '{number}'.png")
    facelime.json("preprocess", folder, "--size", 32, "--name", "odd")
    facelime.json("finetune", "odd", "--backbone", "cnn-small", "--epochs", 1, "--name", "m")
    report = facelime.json(
        "explain", "odd", "--model", "m", "--first", 2, "--method", "slic", "--samples", 20, "--segments", 4
    )
    page = Path(report["report"]).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "图片" in page

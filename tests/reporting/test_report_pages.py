"""The pages of a report: pictures, coefficients and colours, names as text."""

import re
from pathlib import Path

from PIL import Image

from facelime_cli.drawing import overlay
from facelime_cli.reporting import pages


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

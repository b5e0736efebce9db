"""The command line itself: errors, streams, exit codes, the commands beside the stages."""

import csv
import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import zones
from facelime_cli.drawing import overlay
from facelime_cli.reporting import pages
from tests.support import words_of


class TestErrors:
    def test_no_source(self, facelime, tmp_path):
        assert "nothing at" in facelime.fails("preprocess", tmp_path / "none")
        assert not facelime.store.exists()

    def test_an_empty_source(self, facelime, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no pictures in" in facelime.fails("preprocess", tmp_path / "empty")
        assert not facelime.store.exists()

    def test_no_picture(self, facelime, tmp_path):
        (tmp_path / "a.png").write_text("text")
        said = facelime.fails("preprocess", tmp_path / "a.png")
        assert "a.png is not a picture" in said
        assert not facelime.store.exists()

    @pytest.mark.parametrize("split", ["70:20", "a:b:c", "0:0:0", "70:-1:31", "nan:1:1", "inf:1:1"])
    def test_a_wrong_split(self, facelime, faces, split):
        facelime.fails("preprocess", faces, "--split", split, code=2)

    def test_a_wrong_pattern(self, facelime, faces):
        facelime.fails("preprocess", faces, "--group-pattern", "(", code=2)

    def test_a_split_of_a_flat_folder(self, facelime, faces):
        assert "no class folders" in facelime.fails("preprocess", faces / "normal", "--split", "1:1:1")

    def test_an_option_of_another_method(self, chain):
        assert "belongs to quickshift" in chain.facelime.fails("segment", "faces", "--max-dist", 5, code=2)

    @pytest.mark.parametrize("probability", ["0", "1", "-1", "nan"])
    def test_a_wrong_probability(self, chain, probability):
        chain.facelime.fails("perturb", chain["segment"].id, "--probability", probability, code=2)

    def test_an_unknown_picture(self, chain):
        assert "nobody" in chain.facelime.fails("segment", "faces", "--images", "nobody")

    def test_a_picture_of_another_part(self, chain):
        data = chain["preprocess"]
        other = next(each for each, part in zip(data.texts("id"), data.read("split"), strict=True) if part == 0)
        assert "not in the test part" in chain.facelime.fails("segment", "faces", "--split", "test", "--images", other)

    def test_an_unknown_class(self, chain):
        assert "no class 'measles'" in chain.facelime.fails("render", chain["fit-surrogate"].id, "--classes", "measles")

    def test_one_region(self, facelime, tmp_path):
        Image.fromarray(np.full((48, 48, 3), 9, np.uint8)).save(tmp_path / "flat.png")
        data = facelime.artifact("preprocess", tmp_path / "flat.png", "--size", 48)
        said = facelime.fails("segment", data.id, "--method", "quickshift", "--kernel-size", 20, "--max-dist", 1000)
        assert said.startswith("error: flat: only one region")
        assert [each["kind"] for each in facelime.json("status")["artifacts"]] == ["datasets"]

    def test_a_store_that_cannot_be_written(self, faces, tmp_path, facelime):
        (tmp_path / "file").write_text("")
        facelime.store = tmp_path / "file"
        assert "cannot be written" in facelime.fails("preprocess", faces, "--size", 16)

    def test_training_without_classes(self, facelime, faces):
        data = facelime.artifact("preprocess", faces / "normal", "--size", 16)
        assert "0 classes" in facelime.fails("finetune", data.id, "--backbone", "cnn-small")

    def test_weights_that_are_not_there(self, chain):
        assert "no weights file" in chain.facelime.fails(
            "finetune", "faces", "--backbone", "mobilenetv2", "--weights", "gone.h5"
        )
        assert "does not go with" in chain.facelime.fails(
            "finetune", "faces", "--backbone", "cnn-small", "--weights", "imagenet"
        )

    def test_too_many_frozen_layers(self, chain):
        assert "--freeze 99" in chain.facelime.fails("finetune", "faces", "--backbone", "cnn-small", "--freeze", 99)
        chain.facelime.fails("finetune", "faces", "--backbone", "cnn-small", "--freeze", "some", code=2)

    def test_a_broken_chunk_names_the_array_and_the_remedy(self, facelime, faces):
        data = facelime.artifact("preprocess", faces / "normal", "--size", 32)
        path = data.path / "arrays.zarr" / "images" / "c.0.0.0.0"
        broken = bytearray(path.read_bytes())
        broken[100] ^= 255
        path.write_bytes(bytes(broken))
        assert "facelime verify" in facelime.fails("segment", data.id, "--method", "slic")
        found = facelime("verify", data.id)
        assert (found.exit_code, found.stdout) == (1, "")
        assert "array images, unit 0" in found.stderr
        assert json.loads(facelime("verify", "--json").stdout)["faults"][0]["unit"] == 0
        assert facelime.json("repair", data.id)["reopened"] == [0]
        again = facelime.json("preprocess", faces / "normal", "--size", 32)
        assert again["reused"] is False
        assert facelime.json("verify")["faults"] == []

    def test_a_broken_manifest_hides_nothing_else(self, facelime, faces):
        data = facelime.artifact("preprocess", faces / "normal", "--size", 32)
        other = facelime.artifact("preprocess", faces / "normal", "--size", 24)
        (data.path / "manifest.json").write_text("{")
        facelime.fails("segment", data.id)
        states = {each["artifact"]: each["state"] for each in facelime.json("status")["artifacts"]}
        assert states[data.id].startswith("broken")
        assert states[other.id] == "complete"
        assert facelime("verify").exit_code == 1

    def test_a_traceback_is_only_for_debug(self, facelime, tmp_path):
        assert "Traceback" in facelime("preprocess", tmp_path / "none", "--debug").stderr

    def test_unknown_options_and_commands(self, facelime):
        assert facelime("preprocess", "--nothing").exit_code == 2
        assert facelime("nothing").exit_code == 2


NUMBERS = {
    "preprocess": ["--size", "--seed", "--folds", "--crop-border", "--contrast", "--workers"],
    "finetune": [
        "--epochs",
        "--batch-size",
        "--learning-rate",
        "--seed",
        "--l2",
        "--steps-per-epoch",
        "--patience",
        "--fine-tune-epochs",
        "--fine-tune-rate",
        "--fold",
        "--checkpoint-minutes",
    ],
    "evaluate": ["--bootstrap", "--mistakes", "--seed", "--batch-size"],
    "segment": [
        "--first",
        "--kernel-size",
        "--max-dist",
        "--ratio",
        "--scale",
        "--segments",
        "--compactness",
        "--sigma",
        "--min-size",
        "--workers",
    ],
    "perturb": ["--samples", "--probability", "--confidence", "--fill-sigma", "--seed", "--workers"],
    "predict": ["--batch-size", "--tolerance"],
    "fit-surrogate": ["--kernel-width", "--stable-top", "--alpha", "--features", "--workers"],
    "render": ["--top", "--workers"],
    "compare": ["--top"],
    "gradcam": ["--batch-size", "--first"],
    "occlusion": ["--batch-size", "--first"],
}


WRONG_NUMBERS = [
    (stage, option, value)
    for stage, options in NUMBERS.items()
    for option in options
    for value in ("-1", "inf", "nan", "x")
    if (stage, option, value) != ("perturb", "--seed", "-1")
]
"""Every number with every wrong value; any whole number, -1 too, is a seed of masks."""


@pytest.mark.parametrize(("stage", "option", "value"), WRONG_NUMBERS)
def test_a_number_out_of_range_is_a_wrong_command_line(chain, faces, stage, option, value):
    """Whatever is typed for a number, nothing is begun and no traceback shown."""
    words = words_of(stage, chain, faces)
    if option in {"--kernel-size", "--max-dist", "--ratio", "--scale"}:
        words = words[:-4]
    result = chain.facelime(*words, option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unexpected" not in result.stderr
    assert "Traceback" not in result.stderr


class TestCommands:
    @pytest.mark.parametrize(
        "stage", ["preprocess", "finetune", "segment", "perturb", "predict", "fit-surrogate", "render"]
    )
    def test_show(self, chain, stage):
        shown = chain.facelime.json("show", chain.reference(stage))
        assert shown["manifest"]["stage"] == stage
        assert set(shown["arrays"]) == set(chain[stage].layout["arrays"])
        text = chain.facelime("show", chain.reference(stage)).stdout
        assert chain[stage].manifest["fingerprint"] in text

    def test_show_summarises(self, chain):
        arrays = chain.facelime.json("show", chain.reference("predict"))["arrays"]
        values = chain["predict"].read("probabilities")
        assert arrays["probabilities"]["least"] == pytest.approx(values.min())
        assert arrays["probabilities"]["most"] == pytest.approx(values.max())
        assert arrays["probabilities"]["nan"] == 0

    def test_version(self, start, tmp_path):
        done = start("--version", store=tmp_path)
        assert re.fullmatch(r"facelime \d+\.\d+\.\d+\n", done.stdout)

    def test_completion(self):
        environment = {
            **os.environ,
            "_FACELIME_COMPLETE": "complete_bash",
            "COMP_WORDS": "facelime prep",
            "COMP_CWORD": "1",
        }
        done = subprocess.run(
            [str(Path(sys.executable).parent / "facelime")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["preprocess"]


class TestStreams:
    def test_only_the_reference_is_on_stdout_and_nothing_is_coloured(self, start, faces, tmp_path):
        done = start("preprocess", faces, "--size", 16, store=tmp_path / "s")
        assert re.fullmatch(r"[\w.+-]+\n", done.stdout)
        assert "\x1b" not in done.stdout + done.stderr

    def test_quiet_says_nothing_but_the_result(self, start, faces, tmp_path):
        done = start("preprocess", faces / "normal", "--size", 16, "--quiet", store=tmp_path / "s")
        assert done.stderr == ""


class TestReport:
    def test_the_page_asks_nothing_of_outside_and_shows_its_pictures(self, chain):
        page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
        for name in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
            assert name.startswith("data:") or (chain["render"].path / name).is_file()
        for picture_id in chain["render"].store.stored("segments", chain["segment"].id).texts("id"):
            assert picture_id in page
        assert page.count('class="fidelity"') == 6
        assert f"facelime fit-surrogate predictions/{chain['predict'].id}" in page

    def test_the_commands_at_its_foot_make_the_same_again(self, chain):
        page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
        commands = [shlex.split(html.unescape(line)) for line in page.splitlines() if line.startswith("facelime ")]
        assert [words[1] for words in commands] == [
            "preprocess",
            "finetune",
            "segment",
            "perturb",
            "predict",
            "fit-surrogate",
            "render",
        ]
        for words in commands[1:]:
            assert chain.facelime.json(*words[1:])["artifact"] == chain[words[1]].id

    def test_a_page_holds_every_coefficient_with_its_colour(self, chain):
        page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
        full, coefficients = (
            chain["predict"].read("probabilities")[0, 0],
            chain["fit-surrogate"].read("coefficients")[0],
        )
        c, scale = int(full.argmax()), chain["render"].facts["scale_probability_points"]
        drawing = page.partition('class="drawn"')[2].partition("</figure>")[0]
        for k, value in enumerate(coefficients[c, : chain["segment"].read("n_segments")[0]]):
            region = re.search(rf'<use href="#p00000-{k}" class="r ([^"]*)"[^>]*>.*?</use>', drawing)
            assert pages.signed(100 * value) in region[0]
            assert ("t" if value > 0 else "a") in region[1].split()
            assert ("u" in region[1].split()) == ("may be nothing" in region[0])
            red, green, blue = overlay.colour(100 * value, scale)
            assert "u" in region[1].split() or f'fill="#{red:02x}{green:02x}{blue:02x}"' in region[0]

    def test_a_single_file_needs_none_beside_it(self, chain):
        report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--single-file")
        page = (report.path / "index.html").read_text(encoding="utf-8")
        assert {name.partition(",")[0] for name in re.findall(r'(?:src|<image [^>]*href)="([^"]+)"', page)} == {
            "data:image/jpeg;base64"
        }
        assert page.count("data:image/jpeg") == 3 + 3  # each picture once, and its small copy in the overview
        assert page.count('-photo"/>') == 3 * (1 + 2)

    def test_many_pictures_have_a_page_each(self, chain, monkeypatch):
        monkeypatch.setattr("facelime_cli.stages.render.MOST_ON_A_PAGE", 2)
        report = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--top", 7)
        index = (report.path / "index.html").read_text(encoding="utf-8")
        assert index.count("<tr data-id=") == 3
        assert 'class="picture"' not in index
        for row in range(3):
            assert f'href="pages/{row:05d}.html"' in index
            page = (report.path / "pages" / f"{row:05d}.html").read_text(encoding="utf-8")
            for name in re.findall(r'(?:src|href)="([^"#:]+)"', page):
                assert (report.path / "pages" / name).is_file(), name

    def test_coefficients_by_zone(self, chain):
        report = chain.facelime.artifact(
            "render", chain["fit-surrogate"].id, "--by-zone", "lungs", "--classes", "rosacea"
        )
        rows = list(csv.DictReader((report.path / "zones.csv").open()))
        coefficients, segments = chain["fit-surrogate"].read("coefficients")[0, 1], chain["segment"].read("segments")[0]
        expected = zones.attribution_by_zone(
            coefficients[: segments.max() + 1],
            zones.overlap(segments, zones.lungs(chain["preprocess"].read("images")[0]).zones, 6),
        )
        assert [row["zone"] for row in rows[:6]] == list(zones.LUNGS)
        assert [float(row["coefficient"]) for row in rows[:6]] == pytest.approx(expected.tolist())

    @pytest.mark.parametrize(("option", "value"), [("--figures", "gif"), ("--style", "lime")])
    def test_what_is_no_figure(self, chain, option, value):
        assert "--figures" in chain.facelime.fails("render", chain["fit-surrogate"].id, option, value, code=2)

    def test_names_that_are_markup_stay_text(self, facelime, tmp_path):
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

    def test_every_shown_class_has_its_figures_and_rows(self, chain):
        both = chain.facelime.artifact(
            "render", chain["fit-surrogate"].id, "--classes", "1,normal", "--top", 2, "--figures", "png"
        )
        assert len(list((both.path / "figures").glob("*.png"))) == 6
        rows = list(csv.DictReader((both.path / "coefficients.csv").open()))
        assert {row["class"] for row in rows} == {"normal", "rosacea"}
        assert len(rows) == 2 * int(chain["segment"].read("n_segments").sum())

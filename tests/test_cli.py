"""The command line itself: errors, streams, exit codes, the commands beside the stages."""

import csv
import html
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facelime_cli.console import Console
from facelime_cli.core import zones
from facelime_cli.drawing import overlay
from facelime_cli.reporting import pages
from facelime_cli.store.references import Store
from tests.conftest import write_faces
from tests.test_stages import words_of


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


class TestPreprocess:
    def test_unreadable_files_are_named_and_counted(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "some", 12, 24)
        (folder / "normal" / "broken.png").write_bytes(b"\x89PNG")
        result = facelime("preprocess", folder, "--size", 24)
        assert result.exit_code == 0
        assert "1 of 13 files" in result.stderr
        assert "normal/broken.png" in result.stderr
        data = Store(facelime.store).resolve(result.stdout.strip())
        assert data.n == 12
        assert data.facts["unreadable"][0]["file"] == "normal/broken.png"
        assert "--strict" in facelime.fails("preprocess", folder, "--size", 20, "--strict")

    def test_labels_parts_and_groups(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "some", 60, 24)
        data = facelime.artifact("preprocess", folder, "--size", 24, "--group-pattern", r"face-(\d\d)")
        assert data.facts["classes"] == ["normal", "rosacea"]
        assert [each.split("/")[0] for each in data.texts("id")] == [
            data.facts["classes"][label] for label in data.read("labels")
        ]
        groups, split = data.texts("group"), data.read("split")
        assert all(len({int(split[i]) for i, g in enumerate(groups) if g == group}) == 1 for group in set(groups))
        assert set(split.tolist()) == {0, 1, 2}

    def test_a_flat_folder_has_no_labels_and_no_parts(self, facelime, faces):
        data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
        assert set(data.read("labels").tolist()) == {-1}
        assert set(data.read("split").tolist()) == {-1}

    def test_train_and_test_folders_are_kept(self, facelime, tmp_path):
        for part, count in (("train", 8), ("test", 4)):
            write_faces(tmp_path / "some" / part, count, 24)
        data = facelime.artifact("preprocess", tmp_path / "some", "--size", 24)
        assert data.facts["classes"] == ["normal", "rosacea"]
        assert np.bincount(data.read("split"), minlength=3).tolist() == [8, 0, 4]
        assert "already is divided" in facelime.fails("preprocess", tmp_path / "some", "--size", 24, "--split", "1:1:1")

    def test_loose_pictures_and_equal_stems(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "some", 6, 24)
        face = Image.open(folder / "normal" / "face-000.png")
        face.save(folder / "loose.png")
        face.convert("RGB").save(folder / "normal" / "face-000.jpg")
        result = facelime("preprocess", folder, "--size", 24, "--name", "x")
        assert "1 pictures have no class" in result.stderr
        data = Store(facelime.store).resolve("x")
        assert {"loose", "normal/face-000.png", "normal/face-000.jpg", "normal/face-002"} < set(data.texts("id"))

    def test_what_changes_in_the_source_changes_the_artifact(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "some", 6, 24)
        first = facelime.artifact("preprocess", folder, "--size", 24)
        (tmp_path / "some").rename(tmp_path / "moved")
        assert facelime.artifact("preprocess", tmp_path / "moved", "--size", 24).id == first.id
        (tmp_path / "moved" / "normal" / "face-000.png").unlink()
        assert facelime.artifact("preprocess", tmp_path / "moved", "--size", 24).id != first.id

    def test_truth_masks(self, facelime, tmp_path):
        folder = write_faces(tmp_path / "some", 6, 24, tmp_path / "truth")
        data = facelime.artifact("preprocess", folder, "--truth", tmp_path / "truth", "--size", 24)
        flushed = data.read("truth").reshape(6, -1).any(axis=1)
        assert flushed.tolist() == [each.startswith("rosacea") for each in data.texts("id")]
        assert set(np.unique(data.read("truth")).tolist()) == {0, 1}

    def test_many_pictures_go_through_worker_processes_with_the_same_bits(self, facelime, tmp_path, faces):
        one = facelime.artifact("preprocess", faces, "--size", 24, "--workers", 1)
        store = facelime.store
        facelime.store = tmp_path / "other"
        two = facelime.artifact("preprocess", faces, "--size", 24, "--workers", 2)
        assert store != facelime.store
        assert one.content == two.content

    def test_a_kill_leaves_what_is_done(self, facelime, command, tmp_path):
        folder = write_faces(tmp_path / "some", 200, 40)
        words = ["preprocess", str(folder), "--size", "900", "--workers", "1", "--store", str(facelime.store)]
        process = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not list(facelime.store.glob("datasets/some-*/units/0*.json")) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait()
        artifact = Store(facelime.store).resolve("some", ("datasets",))
        done = artifact.done()
        assert 0 < len(done) < artifact.n_units
        before = {
            unit: (artifact.path / "arrays.zarr" / "images" / f"c.{unit}.0.0.0").stat().st_mtime_ns for unit in done
        }
        again = facelime.artifact(*words[:-2])
        assert again.id == artifact.id
        assert all(
            (artifact.path / "arrays.zarr" / "images" / f"c.{unit}.0.0.0").stat().st_mtime_ns == before[unit]
            for unit in done
        )


class TestCommands:
    def test_status_tells_how_far(self, chain):
        shown = chain.facelime.json("status")["artifacts"]
        assert {each["kind"] for each in shown} >= {
            "datasets",
            "models",
            "segments",
            "masks",
            "predictions",
            "surrogates",
            "reports",
        }
        one = next(each for each in shown if each["artifact"] == chain["predict"].id)
        assert (one["complete"], one["state"]) == (True, "complete")
        assert one["bytes"] > 1000
        assert chain["predict"].id in chain.facelime("status").stdout

    def test_status_of_an_empty_store(self, facelime):
        assert "nothing in" in facelime("status").stdout
        assert facelime.json("status")["artifacts"] == []

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

    def test_csv_of_surrogates(self, chain, tmp_path):
        chain.facelime.json("export", chain.reference("fit-surrogate"), "--to", tmp_path / "out.csv")
        rows = list(csv.DictReader((tmp_path / "out.csv").open()))
        coefficients, counts = chain["fit-surrogate"].read("coefficients"), chain["segment"].read("n_segments")
        assert len(rows) == int(counts.sum()) * 2
        classes, ids = chain["fit-surrogate"].facts["classes"], chain["fit-surrogate"].texts("id")
        for row in rows:
            assert (
                float(row["coefficient"])
                == coefficients[ids.index(row["id"]), classes.index(row["class"]), int(row["segment"])]
            )

    def test_export_refuses_what_it_cannot_do(self, chain, tmp_path):
        (tmp_path / "there.h5").write_text("mine")
        assert "exists already" in chain.facelime.fails(
            "export", chain.reference("predict"), "--to", tmp_path / "there.h5"
        )
        assert (tmp_path / "there.h5").read_text() == "mine"
        chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "x.mat", code=2)
        assert "only surrogates" in chain.facelime.fails(
            "export", chain.reference("predict"), "--to", tmp_path / "x.csv"
        )
        assert "no folder" in chain.facelime.fails(
            "export", chain.reference("predict"), "--to", tmp_path / "none" / "x.h5"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]

    def test_remove_asks_and_keeps_what_others_need(self, facelime, faces):
        data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
        segments = facelime.artifact("segment", data.id, "--method", "slic", "--first", 1)
        assert segments.id in facelime.fails("remove", data.id, "--yes")
        assert "kept" in facelime.fails("remove", segments.id, stdin="y\n")
        assert facelime.json("remove", segments.id, "--yes")["removed"] == segments.id
        assert not segments.path.exists()
        assert facelime.json("remove", data.id, "--yes")["removed"] == data.id

    def test_verify_everything(self, chain):
        answer = chain.facelime.json("verify")
        assert answer["faults"] == []
        assert answer["verified"] >= 7

    def test_verify_notices_a_changed_file(self, facelime, faces):
        data = facelime.artifact("preprocess", faces, "--size", 24)
        model = facelime.artifact("finetune", data.id, "--backbone", "cnn-small", "--epochs", 1)
        (model.path / "history.csv").write_text("epoch\n")
        assert "history.csv differs" in facelime("verify", model.id).stderr

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

    def test_a_line_now_and_then_where_there_is_no_terminal(self, capsys, monkeypatch):
        monkeypatch.setattr("facelime_cli.console.PLAIN_SECONDS", 0.0)
        with Console().progress("work", 10) as advance:
            advance(4)
        said = capsys.readouterr().err
        assert re.match(r"work: 4 of 10 pictures, [\d.]+ pictures/s, about \d+ s left\n", said)


def test_a_report_shows_the_pictures_that_were_explained(chain, tmp_path):
    """Not those that the network was trained on: the dataset is that of the segments."""
    run = chain.facelime
    rng = np.random.default_rng(3)
    (tmp_path / "noise").mkdir()
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((12, 12)).resize((48, 48)).save(
        tmp_path / "noise" / "other.png"
    )
    report = run.artifact(
        "explain", tmp_path / "noise", "--model", "small", "--method", "slic", "--samples", 30, "--segments", 9
    )
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert "The label is" not in page
    copy = np.asarray(Image.open(next((report.path / "pictures").glob("*.jpg"))).convert("RGB")).astype(int)
    wanted = np.asarray(Image.open(tmp_path / "noise" / "other.png").convert("RGB")).astype(int)
    assert np.abs(copy - wanted).mean() < 5


def test_a_killed_worker_is_a_sentence(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 60, 400)
    words = ["preprocess", str(folder), "--size", "1600", "--workers", "2", "--store", str(facelime.store)]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until, spawned = time.monotonic() + 60, []
    while not spawned and time.monotonic() < until:
        time.sleep(0.1)
        spawned = [
            pid for pid in children.read_text().split() if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
    os.kill(int(spawned[-1]), 9)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, ""), stderr
    assert "a worker process was killed" in stderr


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
        monkeypatch.setattr("facelime_cli.reporting.report.MOST_ON_A_PAGE", 2)
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


def test_explain_is_the_chain_to_the_bit(chain, tmp_path, faces):
    run = chain.facelime
    words = ["--split", "test", "--first", 3, "--method", "slic", "--segments", 12, "--samples", 90, "--batch-size", 16]
    answer = run.json("explain", "faces", "--model", "small", *words)
    assert answer["artifact"] == chain["render"].id
    assert answer["reused"] is True
    picture = next((faces / "rosacea").iterdir())
    alone = run.json("explain", picture, "--model", "small", "--method", "slic", "--samples", 40, "--name", "alone")
    assert alone["reused"] is False
    assert run.json("show", "alone")["names"] == ["alone"]
    data = run.artifact("preprocess", picture, "--size", 48)
    segments = run.artifact("segment", data.id, "--method", "slic")
    predictions = run.artifact("predict", run.artifact("perturb", segments.id, "--samples", 40).id, "--model", "small")
    assert run.json("render", run.artifact("fit-surrogate", predictions.id).id)["artifact"] == alone["artifact"]
    assert "neither" in run.fails("explain", tmp_path / "none.png", "--model", "small")

"""The command line itself: errors, streams, exit codes, the commands beside the stages."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from facelime_cli import cli
from facelime_cli.errors import StopRequested
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
        assert "not in the test split" in chain.facelime.fails("segment", "faces", "--split", "test", "--images", other)

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
        assert states[data.id].startswith("damaged")
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
    def test_version(self, start, tmp_path):
        done = start("--version", store=tmp_path)
        assert re.fullmatch(r"facelime \d+\.\d+\.\d+\n", done.stdout)


class TestStreams:
    def test_only_the_reference_is_on_stdout_and_nothing_is_coloured(self, start, faces, tmp_path):
        done = start("preprocess", faces, "--size", 16, store=tmp_path / "s")
        assert re.fullmatch(r"[\w.+-]+\n", done.stdout)
        assert "\x1b" not in done.stdout + done.stderr

    def test_quiet_says_nothing_but_the_result(self, start, faces, tmp_path):
        done = start("preprocess", faces / "normal", "--size", 16, "--quiet", store=tmp_path / "s")
        assert done.stderr == ""


def test_errors_that_lead_round_and_round_are_no_stop():
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__cause__ = second, first
    assert not cli._is_stop(first)
    second.__cause__ = StopRequested("SIGTERM")
    assert cli._is_stop(first)

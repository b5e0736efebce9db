"""Lists of class names as other programs write them."""

import json

import numpy as np
import pytest

from facelime_cli.core.class_lists import from_csv, from_json
from facelime_cli.errors import FacelimeError
from facelime_cli.importing.class_names import class_names as of_outputs
from facelime_cli.preparing.renaming import class_names as of_source
from tests.support import save_picture

NAMES = ["tench, Tinca tinca", "crane", "crane"]
IDS = ["n01440764", "n02012849", "n03126707"]
FORMS = {
    "list.json": json.dumps(NAMES),
    "imagenet.json": json.dumps({str(number): name for number, name in enumerate(NAMES)}),
    "keras.json": json.dumps({str(2 - n): [IDS[2 - n], NAMES[2 - n]] for n in range(3)}),
    "names.txt": "\n".join(NAMES) + "\n\n",
    "names.csv": '"tench, Tinca tinca"\ncrane\ncrane\n',
    "numbers.csv": 'index,name\n2,crane\n0,"tench, Tinca tinca"\n1,crane\n',
    "ids.csv": f'{IDS[0]},"tench, Tinca tinca"\n{IDS[1]},crane\n{IDS[2]},crane\n',
    "marked.json": "\ufeff" + json.dumps(NAMES),
}


@pytest.mark.parametrize("file", FORMS)
def test_every_form_gives_the_names_of_a_network_in_order(tmp_path, file):
    (tmp_path / file).write_text(FORMS[file], encoding="utf-8")
    assert of_outputs(f"@{tmp_path / file}") == NAMES


def test_the_class_indices_of_a_keras_generator_are_read(tmp_path):
    (tmp_path / "classes.json").write_text('{"rosacea": 1, "normal": 0, "acne": 2}')
    assert of_outputs(f"@{tmp_path / 'classes.json'}") == ["normal", "rosacea", "acne"]
    assert of_source(tmp_path / "classes.json")[0] == {"0": "normal", "1": "rosacea", "2": "acne"}


def test_a_source_may_call_its_classes_by_id_or_by_number(tmp_path):
    (tmp_path / "keras.json").write_text(FORMS["keras.json"])
    found = of_source(tmp_path / "keras.json")[0]
    assert found == dict(zip(["0", "1", "2", *IDS], [*NAMES, *NAMES], strict=True))
    (tmp_path / "names.txt").write_text("plain\nspotted\n")
    assert of_source(tmp_path / "names.txt")[0] == {"0": "plain", "1": "spotted"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("3", "holds no class names"),
        ("[]", "holds no class names"),
        ("{}", "holds no class names"),
        ('["a", 3]', "holds no class names"),
        ('["a", " "]', "holds no class names"),
        ('{"0": "a", "2": "b"}', "none has the number 1; number them from 0 to 1"),
        ('{"a": 0, "b": 0}', "one number to several classes"),
        ('{"a": 1, "b": 2}', "none has the number 0"),
        ('{"0": "a", "0": "b"}', "has '0' twice"),
        ('{"0": ["n1", "a"], "1": "b"}', "holds no class names"),
        ('{"a": true, "b": false}', "none has the number 0"),
    ],
)
def test_other_json_is_refused_in_a_sentence(text, words):
    with pytest.raises(FacelimeError, match=words) as caught:
        from_json(text, "names.json")
    assert str(caught.value).startswith("names.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n", "one column of names, or two"),
        ("a\nb,c\n", "one column of names, or two"),
        ("0,a\n2,b\n", "none has the number 1"),
        ("0,a\n00,b\n", "has '0' twice"),
        ("", "one column of names, or two"),
        ("a,'" + "x" * 200_000, "is no table"),
    ],
)
def test_other_tables_are_refused_in_a_sentence(text, words):
    with pytest.raises(FacelimeError, match=words):
        from_csv(text, "names.csv")


def test_a_dataset_gets_the_names_of_imagenet(facelime, tmp_path):
    for number, folder in enumerate(IDS[:2]):
        for place in range(4):
            save_picture(tmp_path / "p" / folder / f"{place}.png", np.full((20, 20, 3), 50 * number + place, np.uint8))
    (tmp_path / "index.json").write_text(FORMS["keras.json"])
    words = ["preprocess", tmp_path / "p", "--size", 16, "--class-names"]
    made = facelime.artifact(*words, tmp_path / "index.json")
    assert made.facts["classes"] == ["crane", "tench, Tinca tinca"]
    # A list that names none of these classes would change nothing without a word.
    (tmp_path / "other.txt").write_text("a\nb\n")
    assert "'0', '1', and the source has 'n01440764'" in facelime.fails(*words, tmp_path / "other.txt")
    assert "no such file" in facelime.fails(*words, tmp_path / "nothing.json")

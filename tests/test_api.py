"""The Python surface: the same stages as functions, and explanations as arrays."""

import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray

import facelime_cli.api as fl
from facelime_cli.errors import CommandLineError, FacelimeError, NotFoundError
from facelime_cli.store.artifacts import Artifact
from tests.support import STAGES, joined

PAGE = Path(__file__).parent.parent / "docs" / "notebook.md"


class Words(HTMLParser):
    """The text of a page, the addresses of its pictures, and its tags in order."""

    def __init__(self, page):
        super().__init__()
        self.text, self.pictures, self.open = "", [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_there_are_twelve_functions_at_most_and_each_says_what_it_does():
    functions = {name: getattr(fl, name) for name in fl.__all__}
    assert len(functions) <= 12
    for name, function in functions.items():
        assert function.__name__ == name
        assert inspect.getdoc(function)
    public = {name for name, each in vars(fl).items() if inspect.isfunction(each) and each.__module__ == fl.__name__}
    assert {name for name in public if not name.startswith("_")} == set(functions)


def test_a_function_has_the_options_of_its_command():
    for name in ("segment", "perturb", "fit_surrogate", "render"):
        signature = inspect.signature(getattr(fl, name))
        of_stage = {each.name for each in STAGES[name.replace("_", "-")].params.__dataclass_fields__.values()}
        assert set(signature.parameters) == of_stage | {"store", "name", "quiet"}
        for each in of_stage:
            assert f"\n{each}\n    " in getattr(fl, name).__doc__


def test_python_finds_what_the_command_line_has_made(chain):
    """The same options give the same artifact, so that nothing is computed twice."""
    store = chain.facelime.store
    dataset = fl.artifact("faces", store=store)
    segments = fl.segment(dataset, split="test", first=3, method="slic", segments=12)
    assert segments.reference == chain.reference("segment")
    masks = fl.perturb(segments, samples=90)
    predictions = fl.predict(masks, model=fl.artifact("models/small", store=store))
    surrogates = fl.fit_surrogate(predictions)
    assert [each.reference for each in (masks, predictions, surrogates)] == [
        chain.reference(name) for name in ("perturb", "predict", "fit-surrogate")
    ]
    assert fl.check(surrogates).reference == chain.reference("check")
    assert fl.render(surrogates.id, store=store).reference == chain.reference("render")
    assert fl.run("gradcam", segments, model="small").reference == chain.reference("gradcam")
    assert fl.run("consensus", *joined(chain), store=store).reference == chain.reference("consensus")
    several = fl.run("consensus", [fl.artifact(each, store=store) for each in joined(chain)])
    assert several.reference == chain.reference("consensus")


def test_a_list_stands_for_names_with_commas_between_them(chain):
    ids = chain["segment"].texts("id")[:2]
    made = fl.segment("faces", images=ids, method="slic", segments=7, store=chain.facelime.store, name="two")
    assert made.texts("id") == ids
    words = ["segment", "faces", "--images", ",".join(ids), "--method", "slic", "--segments", 7]
    assert chain.facelime.json(*words)["reused"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda store: fl.segment("faces", method="slics", store=store), "method 'slics'"),
        (lambda store: fl.segment("faces", segments=0, store=store), "segments 0"),
        (lambda store: fl.segment("faces", segment=3, store=store), "has no option segment; it has"),
        (lambda store: fl.segment("-", store=store), "Python has no pipe"),
        (lambda store: fl.segment(store=store), "segment needs dataset"),
        (lambda store: fl.segment("faces", "more", store=store), "takes dataset and was given 2"),
        (lambda store: fl.segment("faces", dataset="faces", store=store), "dataset twice"),
        (lambda store: fl.segment("missing", store=store), "nothing called 'missing'"),
        (lambda store: fl.run("status", store=store), "'status' makes no artifact of its own"),
        (lambda store: fl.run("nothing", store=store), "'nothing' is no command"),
        (lambda store: fl.finetune("faces", find_rate=True, store=store), "find_rate asks for no artifact"),
        (lambda store: fl.perturb("parts", samples=float("nan"), store=store), "samples nan"),
        (lambda store: fl.fit_surrogate("x", kernel_width=float("nan"), store=store), "finite number"),
        (lambda store: fl.explanation("faces", store=store), "faces is of kind datasets"),
    ],
)
def test_what_is_wrong_is_an_error_of_one_sentence(chain, call, words):
    with pytest.raises(FacelimeError, match=re.escape(words)) as caught:
        call(chain.facelime.store)
    assert "\n" not in str(caught.value)


def test_inputs_of_two_stores_are_refused(chain, tmp_path):
    with pytest.raises(CommandLineError, match="in several stores"):
        fl.render(chain["fit-surrogate"], store=tmp_path)


def test_an_explanation_holds_the_arrays_of_the_store(chain):
    surrogates = chain["fit-surrogate"]
    found = fl.explanation(surrogates)
    assert found.ids == surrogates.texts("id")
    assert found.classes == ["normal", "rosacea"]
    np.testing.assert_array_equal(found.coefficients, surrogates.read("coefficients"))
    np.testing.assert_array_equal(found.interval, surrogates.read("interval"))
    np.testing.assert_array_equal(found.segments, chain["segment"].read("segments"))
    np.testing.assert_array_equal(found.images, chain["preprocess"].read("images", chain["segment"].read("row")))
    np.testing.assert_array_equal(found.probabilities, chain["predict"].read("probabilities")[:, 0])
    drawn = found.map(found.ids[1], "rosacea")
    np.testing.assert_array_equal(drawn, found.coefficients[1, 1][found.segments[1]])
    # A report and a check say whose explanation they are; the check brings its verdicts.
    for stage in ("render", "check"):
        same = fl.explanation(chain.reference(stage), store=chain.facelime.store)
        np.testing.assert_array_equal(same.coefficients, found.coefficients)
    checked = fl.explanation(chain["check"]).verdicts
    assert checked.shape == (3, 2)
    assert (checked != "not checked").any()


def test_one_picture_is_chosen_by_its_id(chain):
    found = fl.explanation(chain["fit-surrogate"])
    chosen = found[[found.ids[2], found.ids[0].rpartition("/")[2]]]
    assert chosen.ids == [found.ids[2], found.ids[0]]
    np.testing.assert_array_equal(chosen.coefficients, found.coefficients[[2, 0]])
    np.testing.assert_array_equal(chosen.images, found.images[[2, 0]])
    assert chosen[found.ids[0]].ids == [found.ids[0]]
    with pytest.raises(NotFoundError, match="no picture 'nobody'"):
        found["nobody"]


def test_a_comparison_is_no_explanation(chain):
    with pytest.raises(FacelimeError, match="explains no pictures of its own"):
        fl.explanation(chain["compare"])


def test_xarray_gets_names_for_axes_ids_and_classes(chain):
    found = fl.explanation(chain["fit-surrogate"])
    made = found.to_xarray()
    assert isinstance(made, xarray.Dataset)
    for name in ("coefficients", "interval", "segments", "images"):
        holder = chain["fit-surrogate"]
        holder = {"segments": chain["segment"], "images": chain["preprocess"]}.get(name, holder)
        assert made[name].dims[0] == "picture"
        assert made[name].ndim == len(holder.shape(name))
    one = made["coefficients"].sel({"class": "rosacea", "picture": found.ids[0]})
    np.testing.assert_array_equal(one, found.coefficients[0, 1])
    assert made.attrs == {"reference": chain.reference("fit-surrogate"), "unit": "probability points"}


def test_without_xarray_a_sentence_says_what_to_install(chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(FacelimeError, match="pip install xarray"):
        fl.explanation(chain["fit-surrogate"]).to_xarray()


def test_a_notebook_draws_it(chain):
    found = fl.explanation(chain["check"])
    page = Words(found._repr_html_())
    assert page.open == []
    assert len(page.pictures) == 2 * 3
    assert all(each.startswith("data:image/png;base64,") for each in page.pictures)
    for picture in found.ids:
        assert picture in page.text
    c = int(found.probabilities[0].argmax())
    assert found.verdicts[0, c] in page.text
    assert f"{100 * found.probabilities[0, c]:.1f} %" in page.text
    strongest = 100 * np.nanmax(np.abs(found.coefficients[0, c]))
    assert re.search(rf"region \d+: [+−]{strongest:.1f} points", page.text)
    assert "Regions were replaced by" in page.text
    alone = Words(found[found.ids[0]]._repr_html_())
    assert len(alone.pictures) == 2
    assert repr(found).startswith("Explanation of 3 pictures by checks/")


def test_names_are_escaped_and_pictures_beyond_the_first_are_counted(chain, monkeypatch):
    found = fl.explanation(chain["fit-surrogate"])
    monkeypatch.setattr("facelime_cli.reporting.notebook.SHOWN", 1)
    found._all.ids = ["<script>alert(1)</script>", "b", "c"]
    page = found._repr_html_()
    assert "<script>" not in page
    assert "2 more pictures are not drawn" in page


def test_importing_it_loads_no_network():
    code = "import sys, facelime_cli.api; sys.exit(bool({'tensorflow', 'keras', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_artifact_is_found_by_its_name(chain):
    found = fl.artifact("small", store=chain.facelime.store)
    assert isinstance(found, Artifact)
    assert fl.artifact(found).reference == found.reference


@pytest.mark.long
def test_the_example_of_the_page_runs_as_it_stands(faces, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "pictures").symlink_to(faces)
    # What a notebook would show of the last lines.
    shown = "assert '<img' in explained._repr_html_() and table['coefficients'].shape[:2] == (2, 2)"
    script = "\n".join([*blocks, shown])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert (tmp_path / "artifacts" / "checks").is_dir()


def environment():
    """Return the environment without a store of the user's, and with this package on the path."""
    kept = {name: value for name, value in os.environ.items() if name != "FACELIME_STORE"}
    return {**kept, "PYTHONPATH": str(PAGE.parent.parent)}

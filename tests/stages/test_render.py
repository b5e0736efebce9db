"""`render`: what it refuses."""

import pytest
from PIL import Image

from facelime_cli.core.faces import draw


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

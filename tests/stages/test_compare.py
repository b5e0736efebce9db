"""`compare`: what it refuses."""


def test_it_takes_two(chain):
    assert "two surrogates" in chain.facelime.fails("compare", chain["fit-surrogate"].id, code=2)


def test_pictures_of_different_datasets(chain, faces):
    run = chain.facelime
    data = run.artifact("preprocess", faces / "normal", "--size", 48)
    segments = run.artifact("segment", data.id, "--first", 1, "--method", "slic")
    surrogates = run.artifact("occlusion", segments.id, "--model", "small")
    assert "different datasets" in run.fails("compare", chain["fit-surrogate"].id, surrogates.id)

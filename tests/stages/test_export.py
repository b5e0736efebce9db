"""Export: what is written, and what is refused."""

import csv


def test_csv_of_surrogates(chain, tmp_path):
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


def test_export_refuses_what_it_cannot_do(chain, tmp_path):
    (tmp_path / "there.h5").write_text("mine")
    assert "exists already" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "there.h5")
    assert (tmp_path / "there.h5").read_text() == "mine"
    chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "x.mat", code=2)
    assert "only surrogates" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "x.csv")
    assert "no folder" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "none" / "x.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]

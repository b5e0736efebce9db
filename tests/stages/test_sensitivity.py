"""`sensitivity`: other segments and fills."""

import itertools

import pytest


@pytest.mark.long  # several whole runs of the stages
class TestSensitivity:
    def test_other_segments_and_fills(self, chain):
        run = chain.facelime
        report = run.artifact(
            "sensitivity",
            chain["fit-surrogate"].id,
            "--methods",
            "slic,quickshift",
            "--fills",
            "nearest-unlike,black",
            "--top",
            3,
        )
        assert report.facts["compared"] == [
            f"method {method}, fill {fill}"
            for method, fill in itertools.product(("slic", "quickshift"), ("nearest-unlike", "black"))
        ]
        assert len(report.facts["compared"]) == 4
        assert (report.path / "segments.csv").read_text().count("\n") == 1
        assert 0 <= report.facts["mean"]["jaccard"] <= 1

    @pytest.mark.parametrize(("option", "value"), [("--methods", "guess"), ("--fills", "mean,pink")])
    def test_what_there_is_not(self, chain, option, value):
        assert option in chain.facelime.fails("sensitivity", chain["fit-surrogate"].id, option, value, code=2)

    def test_nothing_to_vary(self, chain):
        assert "nothing to vary" in chain.facelime.fails("sensitivity", chain["fit-surrogate"].id, code=2)

"""`make audit`: what it says of an answer of pip-audit."""

import json

from tests.audit import judged

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
BROKEN = {
    "name": "pillow",
    "version": "8.0.0",
    "vulns": [{"id": "PYSEC-2021-1", "fix_versions": ["8.1.0"]}, {"id": "PYSEC-2021-2", "fix_versions": []}],
}
UNKNOWN = {"name": "facelime", "skip_reason": "Dependency not found on PyPI and could not be audited: facelime (0.1.0)"}
UNREACHED = "Nothing was audited: the data on vulnerabilities cannot be reached from this machine."


def answer(*dependencies):
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_vulnerability_fails_and_is_named_with_its_remedy():
    code, sentences = judged(answer(CLEAN, BROKEN))
    assert code == 1
    assert sentences == [
        "pillow 8.0.0 has PYSEC-2021-1, mended in 8.1.0.",
        "pillow 8.0.0 has PYSEC-2021-2, which no version mends yet.",
        "2 versions were audited; 2 known vulnerabilities.",
    ]


def test_nothing_found_passes_and_names_what_is_not_known():
    assert judged(answer(CLEAN)) == (0, ["1 versions were audited; no known vulnerabilities."])
    assert judged(answer(CLEAN, UNKNOWN))[1][-1] == "There are no data on facelime."


def test_without_data_nothing_is_called_clean():
    # An index that does not know the versions, and no answer at all.
    for text in (answer(UNKNOWN, UNKNOWN), ""):
        assert judged(text) == (0, [UNREACHED])

"""Explanations in a terminal, as JSON and as a table."""

import csv
import io
import json


def test_csv_is_the_table_of_the_report(chain):
    told = chain.facelime("show", chain.reference("fit-surrogate"), "--format", "csv").stdout
    assert told == (chain["render"].path / "coefficients.csv").read_text(encoding="utf-8")
    assert told == chain.facelime("show", chain.reference("render"), "--format", "csv").stdout


def test_json_holds_what_the_arrays_hold(chain):
    told = json.loads(
        chain.facelime("show", chain.reference("fit-surrogate"), "--format", "json", "--classes", "rosacea").stdout
    )
    assert told == chain.facelime.json("show", chain.reference("fit-surrogate"), "--format", "json", "--classes", "1")
    assert [each["id"] for each in told["pictures"]] == chain["segment"].texts("id")
    one = told["pictures"][0]["explanations"][0]
    assert one["r2"] == chain["fit-surrogate"].read("r2")[0, 1]
    assert {each["segment"]: each["coefficient"] for each in one["regions"]}[3] == chain["fit-surrogate"].read(
        "coefficients"
    )[0, 1, 3]


def test_text_is_a_picture_and_a_table(chain):
    second = chain["segment"].texts("id")[1]
    told = chain.facelime(
        "show", chain.reference("fit-surrogate"), "--format", "text", "--images", second, "--classes", "rosacea"
    ).stdout
    assert told.startswith(f"{second}: rosacea ")
    drawn = told.splitlines()[1:25]
    assert {len(line) for line in drawn} == {48}
    assert {"+", "-"} & set("".join(drawn))
    strongest = next(
        csv.DictReader(
            io.StringIO(
                chain.facelime(
                    "show",
                    chain.reference("fit-surrogate"),
                    "--format",
                    "csv",
                    "--images",
                    second,
                    "--classes",
                    "rosacea",
                ).stdout
            )
        )
    )
    row = next(line.split() for line in told.splitlines() if line.split()[:1] == ["1"])
    assert row[1] == strongest["segment"]
    assert row[2] == ("for" if float(strongest["coefficient"]) > 0 else "against")

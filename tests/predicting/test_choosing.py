"""Which pictures the options choose: by table, class, answers, verdict and chance, one at a time and together."""

import json

import numpy as np
import pytest

from facelime_cli.names import rows_of
from facelime_cli.predicting.choosing import NAMES, Choosing
from facelime_cli.store.references import Store
from tests.support import SIZE, Facelime

PINNED = [28, 55, 74]
"""What --random 3 draws of the people."""
TAKES_PICTURES = ("segment", "explain", "gradcam", "occlusion", "import-maps", "list", "show", "jobs slurm")


@pytest.fixture(scope="module")
def people(tabled, tmp_path_factory):
    """A store with the dataset of the table: 90 pictures, ages from 20 on with gaps, a sex with gaps."""
    found = Facelime(tmp_path_factory.mktemp("people") / "store")
    words = ("--table", tabled / "table.csv", "--label-column", "dx", "--group-column", "patient", "--size", 24)
    found.json("preprocess", tabled, *words, "--split", "40:30:30", "--name", "people")
    return found


def listed(run, *words, stdin=None):
    result = run("list", *words, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def rows(ids):
    """Return the numbers of the drawn people."""
    return [int(each.rpartition("p")[2]) for each in ids]


def answers_of(evaluation):
    """Return ids, labels and probabilities of an evaluation."""
    return np.array(evaluation.texts("id")), evaluation.read("labels"), evaluation.read("probabilities")


class TestTable:
    def test_a_condition_on_columns(self, people):
        found = rows(listed(people, "people", "--where", "age > 60 and sex == 'f'"))
        assert found == [n for n in range(90) if n % 10 and 20 + n % 50 > 60 and n % 3 == 0]

    def test_an_empty_cell_is_found_by_its_own_word_alone(self, people):
        empty = rows(listed(people, "people", "--where", "age is empty"))
        assert empty == list(range(0, 90, 10))
        others = listed(people, "people", "--where", "age > 40") + listed(people, "people", "--where", "not age > 40")
        assert sorted(rows(others) + empty) == list(range(90))

    def test_what_every_dataset_has_is_there_too(self, people):
        assert rows(listed(people, "people", "--where", "group == 'patient7'")) == [21, 22, 23]
        assert rows(listed(people, "people", "--where", "id in ('p003', 'p080')")) == [3, 80]
        by_where = listed(people, "people", "--where", "split == 'test' and class == 'rosacea'")
        assert by_where == listed(people, "people", "--split", "test", "--class", "rosacea")
        assert by_where

    def test_wrong_conditions_are_refused(self, people):
        fails = people.fails
        said = fails("list", "people", "--where", "agee > 60")
        assert "no column 'agee'; its columns are age, sex" in said
        assert "age is of numbers" in fails("list", "people", "--where", "age == '60'")
        assert "written ==" in fails("list", "people", "--where", "age = 60", code=2)
        assert "leaves none of the 90 pictures" in fails("list", "people", "--where", "age > 600")
        assert "--where is empty" in fails("list", "people", "--where", "", code=2)
        # Nothing of it is run.
        assert "is no condition" in fails("list", "people", "--where", "__import__('os').getpid() > 0", code=2)


class TestLists:
    def test_the_list_of_one_command_is_read_by_another(self, people):
        ids = listed(people, "people", "--class", "normal", "--first", 5)
        assert listed(people, "people", "--from", "-", stdin="\n".join(reversed(ids)) + "\n") == ids

    def test_a_file_names_pictures_by_their_last_part(self, chain, tmp_path):
        file = tmp_path / "chosen.txt"
        file.write_bytes(b"\xef\xbb\xbfface-003\r\n\r\nnormal/face-000\r\n")
        assert listed(chain.facelime, "faces", "--from", file) == ["normal/face-000", "rosacea/face-003"]

    def test_wrong_lists_are_refused(self, people, tmp_path):
        file, fails = tmp_path / "chosen.txt", people.fails
        assert "cannot be read" in fails("list", "people", "--from", file)
        assert "cannot be read (" in fails("list", "people", "--from", tmp_path)
        file.write_bytes(b"\n \n")
        assert "names no picture" in fails("list", "people", "--from", file)
        file.write_bytes(b"\xff\xfe")
        assert "no UTF-8 text" in fails("list", "people", "--from", file)
        file.write_text("nobody\n")
        assert "no picture 'nobody'" in fails("list", "people", "--from", file)
        assert "--images and --from both" in fails("list", "people", "--from", file, "--images", "p001", code=2)
        assert "--images and --from both" in fails("list", "people", "--from", "-", "--images", "p001", code=2)
        assert "standard input names no picture" in fails("list", "people", "--from", "-", stdin="\n")
        said = fails("list", "-", "--from", "-", stdin="people\n", code=2)
        assert "--from and DATASET both read" in said or "DATASET and --from both read" in said
        assert "--from is empty" in fails("list", "people", "--from", "", code=2)

    def test_a_long_list_is_matched_as_a_short_one(self):
        ids = [f"a/{n}" for n in range(20_000)] + ["b/7"]
        assert rows_of(ids, ids) == list(range(20_001))
        assert rows_of(["8", "b/7"], ids) == [8, 20_000]


class TestClass:
    def test_labels_of_the_dataset_choose(self, people):
        found = rows(listed(people, "people", "--class", "rosacea"))
        assert found == [n for n in range(90) if n // 3 % 2 == 1]
        assert rows(listed(people, "people", "--class", "1,0")) == list(range(90))

    def test_a_class_that_is_not_there_is_refused(self, people):
        assert "no class 'acne'" in people.fails("list", "people", "--class", "acne")

    def test_a_finding_is_looked_for_among_several(self, facelime, tmp_path):
        labels = np.array([[1, 0], [1, 1], [0, 1], [-1, 0]], np.int8)
        np.savez(tmp_path / "x.npz", train_images=np.zeros((4, 16, 16, 3), np.uint8), train_labels=labels)
        facelime.json("preprocess", tmp_path / "x.npz", "--name", "found")
        every = listed(facelime, "found")
        assert listed(facelime, "found", "--class", "0") == every[:2]
        assert listed(facelime, "found", "--class", "0,1") == every[:3]
        assert "no column 'class'" in facelime.fails("list", "found", "--where", "class == 'a'")


class TestAnswers:
    def test_the_most_confident_mistakes_are_those_that_the_evaluation_shows(self, chain):
        evaluation = chain["evaluate"]
        wrong = [each["id"] for each in evaluation.facts["mistakes"]]
        assert listed(chain.facelime, "faces", "--from-evaluation", evaluation.id, "--mistakes", 12) == wrong
        assert listed(chain.facelime, "--from-evaluation", evaluation.id, "--mistakes", "all")[:12] == wrong
        assert listed(chain.facelime, "--from-evaluation", evaluation.id, "--mistakes", 2) == wrong[:2]

    def test_an_evaluation_alone_chooses_its_pictures(self, chain):
        evaluation = chain["evaluate"]
        assert listed(chain.facelime, "--from-evaluation", evaluation.id) == evaluation.texts("id")

    def test_predicted_classes(self, chain):
        ids, _, answers = answers_of(chain["evaluate"])
        words = ("--from-evaluation", chain["evaluate"].id, "--predicted")
        names = chain["evaluate"].facts["classes"]
        by_class = [ids[answers.argmax(axis=1) == c].tolist() for c in (0, 1)]
        assert sum(map(len, by_class)) == len(ids)
        for c, expected in enumerate(by_class):
            if expected:
                assert listed(chain.facelime, *words, names[c]) == expected
            else:
                assert "leaves none" in chain.facelime.fails("list", *words, names[c])

    def test_sure_and_unsure_answers(self, chain):
        ids, _, answers = answers_of(chain["evaluate"])
        lead = np.abs(answers[:, 0] - answers[:, 1])
        words = ("--from-evaluation", chain["evaluate"].id)
        assert listed(chain.facelime, *words, "--confident", 3) == ids[(-lead).argsort(kind="stable")[:3]].tolist()
        unsure = ids[lead.argsort(kind="stable")[:3]].tolist()
        assert listed(chain.facelime, *words, "--uncertain", 3) == unsure
        # Two classes without a threshold are divided at 0.5.
        assert listed(chain.facelime, *words, "--around-threshold", 3) == unsure

    def test_a_picked_threshold_is_the_one_that_counts(self, chain):
        words = ("evaluate", "small", "--target-recall", "rosacea=0.3", "--bootstrap", 200)
        evaluation = chain.facelime.artifact(*words)
        limit = evaluation.facts["thresholds"]["rosacea"]["threshold"]
        assert abs(limit - 0.5) > 1e-4
        ids, _, answers = answers_of(evaluation)
        far = np.abs(answers[:, evaluation.facts["classes"].index("rosacea")].astype(float) - limit)
        found = listed(chain.facelime, "--from-evaluation", evaluation.id, "--around-threshold", 4)
        assert found == ids[far.argsort(kind="stable")[:4]].tolist()

    def test_options_are_applied_in_their_order(self, chain):
        evaluation = chain["evaluate"]
        words = ("--from-evaluation", evaluation.id, "--mistakes", "all")
        wrong = listed(chain.facelime, *words)
        unsure = listed(chain.facelime, *words, "--uncertain", 2)
        ids, _, answers = answers_of(evaluation)
        lead = dict(zip(ids.tolist(), np.abs(answers[:, 0] - answers[:, 1]), strict=True))
        assert unsure == sorted(wrong, key=lead.get)[:2]
        assert listed(chain.facelime, *words, "--first", 1) == wrong[:1]
        drawn = listed(chain.facelime, *words, "--random", 2)
        assert drawn == [each for each in wrong if each in drawn]
        (own,) = {name.partition("/")[0] for name in wrong[:1]}
        of_class = listed(chain.facelime, *words, "--class", own)
        assert of_class == [name for name in wrong if name.startswith(own)]

    def test_wrong_questions_are_refused(self, chain):
        fails, evaluation = chain.facelime.fails, chain["evaluate"].id
        for option in (("--predicted", "normal"), ("--mistakes", 3), ("--uncertain", 3), ("--around-threshold", 3)):
            assert f"{option[0]} reads a model's answers" in fails("list", "faces", *option, code=2)
        words = ("list", "--from-evaluation", evaluation)
        assert "--mistakes '0' should be" in fails(*words, "--mistakes", 0, code=2)
        assert "--mistakes 'some' should be" in fails(*words, "--mistakes", "some", code=2)
        assert "--mistakes and --uncertain each" in fails(*words, "--mistakes", 3, "--uncertain", 3, code=2)
        assert "--confident and --uncertain each" in fails(*words, "--confident", 3, "--uncertain", 3, code=2)
        assert "no class 'acne'" in fails(*words, "--predicted", "acne")
        assert "--confident" in chain.facelime(*words, "--confident", 0).stderr
        assert "DATASET is missing" in fails("list", code=2)

    def test_an_evaluation_of_other_pictures_is_refused(self, chain, faces):
        other = chain.facelime.artifact("preprocess", faces / "normal", "--size", SIZE).id
        said = chain.facelime.fails("list", other, "--from-evaluation", chain["evaluate"].id)
        assert f"is about {chain.reference('preprocess')}, not about datasets/{other}" in said


@pytest.mark.long
class TestFindings:
    def test_each_finding_is_called_from_its_own_threshold_on(self, several):
        evaluation = several.artifact("evaluate", "good", "--dataset", "chest", "--thresholds", "f1")
        ids, labels, answers = answers_of(evaluation)
        names, picked = evaluation.facts["classes"], evaluation.facts["thresholds"]
        limits = np.array([picked[name]["threshold"] if name in picked else 0.5 for name in names])
        assert len(set(limits.tolist())) > 1
        called, words = answers >= limits, ("--from-evaluation", evaluation.id)
        assert listed(several, *words, "--predicted", names[0]) == ids[called[:, 0]].tolist()
        wrong = ((called & (labels == 0)) | (~called & (labels == 1))).any(axis=1)
        found = listed(several, *words, "--mistakes", "all")
        assert sorted(found) == sorted(ids[wrong])
        # The surest of all is among those that the evaluation shows first of a finding and a kind.
        assert found[0] in {each["id"] for each in evaluation.facts["mistakes"]}
        near = np.abs(answers - limits).min(axis=1).argsort(kind="stable")[:3]
        assert listed(several, *words, "--uncertain", 3) == ids[near].tolist()
        assert listed(several, *words, "--around-threshold", 3) == ids[near].tolist()


@pytest.mark.long
class TestValues:
    def test_the_largest_errors_are_the_mistakes(self, people, tmp_path):
        import keras

        network = keras.Sequential(
            [keras.Input((24, 24, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
        )
        network.save(tmp_path / "age.keras")
        words = ("--output-kind", "value", "--names", "age", "--scaling", "0..1", "--name", "years")
        people.json("import-model", tmp_path / "age.keras", *words)
        evaluation = people.artifact("evaluate", "years", "--dataset", "people", "--split", "all", "--bootstrap", 100)
        shown = [each["id"] for each in evaluation.facts["mistakes"]]
        assert listed(people, "--from-evaluation", evaluation.id, "--mistakes", len(shown)) == shown
        for option in (("--predicted", "age"), ("--confident", 3), ("--uncertain", 3), ("--around-threshold", 3)):
            said = people.fails("list", "--from-evaluation", evaluation.id, *option)
            assert f"{option[0]} is about probabilities" in said


class TestVerdicts:
    def test_the_verdict_of_the_most_probable_class_chooses(self, chain):
        check = chain["check"]
        first = check.read("probabilities")[:, 0, 0, :].argmax(axis=1)
        verdicts = [words[c] for words, c in zip(check.read("verdict"), first, strict=True)]
        assert all(verdicts)
        for word in {each.partition(":")[0] for each in verdicts}:
            expected = [name for name, each in zip(check.texts("id"), verdicts, strict=True) if each.startswith(word)]
            found = listed(chain.facelime, "faces", "--from-check", check.id, "--verdict", word.replace(" ", "-"))
            assert sorted(found) == sorted(expected)

    def test_wrong_verdicts_are_refused(self, chain):
        fails, check = chain.facelime.fails, chain["check"].id
        assert "'good' is none; the verdicts are strong, fair" in fails(
            "list", "faces", "--from-check", check, "--verdict", "good", code=2
        )
        assert "--verdict means nothing without --from-check" in fails("list", "faces", "--verdict", "fair", code=2)
        assert "--from-check means nothing without --verdict" in fails("list", "faces", "--from-check", check, code=2)


class TestChance:
    def test_chance_depends_on_seed_and_id_alone(self, people):
        ten = listed(people, "people", "--random", 10)
        assert len(ten) == 10
        assert listed(people, "people", "--random", 10, "--seed", 0) == ten
        assert set(ten) < set(listed(people, "people", "--random", 20))
        assert listed(people, "people", "--random", 10, "--seed", 1) != ten
        # Pictures that are not there any more take no place of another.
        few = listed(people, "people", "--from", "-", "--random", 5, stdin="\n".join(ten))
        assert few == [each for each in ten if each in listed(people, "people", "--random", 5)]
        # These are pinned: no version of a library may draw others.
        assert rows(listed(people, "people", "--random", 3)) == PINNED

    def test_a_seed_alone_is_refused(self, people):
        assert "--seed 3 draws pictures for --random" in people.fails("list", "people", "--seed", 3, code=2)


class TestArtifacts:
    def test_the_list_of_pictures_is_what_counts(self, chain):
        """However the same pictures are chosen, it is one artifact, and others are another."""
        run, made = chain.facelime, chain["segment"]
        words = ("segment", "faces", "--method", "slic", "--segments", 12)
        ids = made.texts("id")
        assert run.artifact(*words, "--from", "-", stdin="\n".join(ids)).id == made.id
        condition = f"id in ({', '.join(map(repr, ids))})"
        answer = run.json(*words, "--where", condition)
        assert (answer["artifact"], answer["reused"]) == (made.id, True)
        assert run.artifact(*words, "--where", f"id == {ids[0]!r}").id != made.id

    def test_an_artifact_says_how_its_pictures_were_chosen(self, chain, tmp_path):
        file = tmp_path / "chosen.txt"
        file.write_text("face-001\nface-002\n")
        words = ("segment", "faces", "--method", "grid", "--from", file, "--random", 1)
        made = chain.facelime.artifact(*words)
        assert made.facts["selection"] == {
            "split": None,
            "images": None,
            "first": None,
            "listed": "chosen.txt",
            "random": 1,
        }
        assert "from_evaluation" not in made.inputs
        assert made.n == 1
        # What was made before has what it had.
        assert chain["segment"].facts["selection"] == {"split": "test", "images": None, "first": 3}

    def test_ranked_pictures_are_stored_in_the_order_of_the_dataset(self, chain):
        words = ("segment", "--method", "grid", "--segments", 9, "faces", "--from-evaluation", chain["evaluate"].id)
        made = chain.facelime.artifact(*words, "--uncertain", 4)
        assert made.read("row").tolist() == sorted(made.read("row").tolist())
        assert made.facts["selection"]["from_evaluation"] == chain.reference("evaluate")
        assert list(made.inputs) == ["dataset"]

    def test_shards_find_one_artifact_and_a_changed_list_another(self, chain, tmp_path):
        file = tmp_path / "chosen.txt"
        file.write_text("\n".join(f"face-{number:03d}" for number in range(6)))
        words = ("segment", "faces", "--method", "grid", "--segments", 16, "--from", file, "--unit", 2)
        first = chain.facelime.json(*words, "--shard", "1/2")
        assert not first["complete"]
        second = chain.facelime.json(*words, "--shard", "2/2")
        assert (second["artifact"], second["complete"]) == (first["artifact"], True)
        file.write_text("face-000\nface-001\n")
        assert chain.facelime.json(*words)["artifact"] != first["artifact"]

    @pytest.mark.parametrize("command", TAKES_PICTURES)
    def test_every_command_that_takes_pictures_has_every_option(self, chain, command):
        text = chain.facelime(*command.split(), "--help").stdout
        for option in ("--class", "--predicted", "--mistakes", "--confident", "--uncertain", "--around-threshold"):
            assert f"  {option} " in text
        for option in ("--random", "--seed", "--where", "--from", "--verdict", "--first", "--images", "--split"):
            assert f"  {option} " in text

    def test_maps_of_gradients_take_model_and_pictures_from_an_evaluation(self, chain):
        evaluation = chain["evaluate"]
        made = chain.facelime.artifact("gradcam", "faces", "--from-evaluation", evaluation.id, "--confident", 2)
        assert made.input("models").id == chain["finetune"].id
        expected = listed(chain.facelime, "--from-evaluation", evaluation.id, "--confident", 2)
        assert sorted(made.texts("id")) == sorted(expected)

    def test_what_has_its_own_pictures_lets_none_be_chosen(self, chain):
        words = ("gradcam", chain["segment"].id, "--model", "small")
        for option in (("--random", 2), ("--class", "normal"), ("--where", "id == 'a'"), ("--split", "test")):
            assert f"{option[0]} chooses among the pictures of a dataset" in chain.facelime.fails(
                *words, *option, code=2
            )


class TestShow:
    def shown(self, chain, reference, *words):
        answer = chain.facelime.json("show", reference, "--format", "json", *words)
        return [each["id"] for each in answer["pictures"]]

    def test_explanations_are_chosen_among_their_own_pictures(self, chain):
        ids = chain["fit-surrogate"].texts("id")
        for stage in ("fit-surrogate", "check", "render"):
            reference = chain.reference(stage)
            assert self.shown(chain, reference, "--first", 2) == ids[:2]
            assert self.shown(chain, reference, "--where", f"id == {ids[2]!r}") == [ids[2]]
            # Named ones are told in the order in which they are named.
            assert self.shown(chain, reference, "--images", f"{ids[2]},{ids[0]}") == [ids[2], ids[0]]
        said = chain.facelime.fails("show", chain.reference("render"), "--format", "csv", "--where", "id == 'a'")
        assert f"leaves none of the {len(ids)} pictures" in said

    def test_a_check_has_the_verdicts_itself(self, chain):
        words = ("--from-check", chain["check"].id, "--verdict")
        for word in ("strong", "fair", "not confirmed", "depends on the stand-in", "needs more samples"):
            result = chain.facelime("list", "faces", *words, word)
            if result.exit_code == 0:
                found = self.shown(chain, chain.reference("check"), "--verdict", word)
                assert sorted(found) == sorted(result.stdout.splitlines())
                return
        pytest.fail("no picture of the chain has one of these verdicts")

    def test_a_sheet_shows_chosen_pictures(self, chain, tmp_path):
        words = ("show", "datasets/" + chain["preprocess"].id, "--png")
        assert chain.facelime(*words, tmp_path / "a.png", "--class", "rosacea", "--random", 4).exit_code == 0
        assert (tmp_path / "a.png").stat().st_size > 1000
        said = chain.facelime.fails(
            "show", chain.reference("segment"), "--png", tmp_path / "b.png", "--first", 2, code=2
        )
        assert "the options choose 2 pictures, and --png draws 1 of segments" in said
        said = chain.facelime.fails("show", "models/small", "--png", tmp_path / "b.png", "--first", 2, code=2)
        assert "--first: models/small" in said
        assert "--first is about pictures" in chain.facelime.fails("show", "faces", "--first", 2, code=2)
        assert not (tmp_path / "b.png").exists()


class TestExplain:
    @pytest.mark.long
    def test_the_twelve_most_confident_mistakes_are_explained(self, chain):
        evaluation = chain["evaluate"]
        words = ("--from-evaluation", evaluation.id, "--mistakes", 2, "--samples", 40, "--no-check")
        answer = chain.facelime.json("explain", *words, "--views", "single", "--method", "grid")
        wrong = [each["id"] for each in evaluation.facts["mistakes"][:2]]
        explained = Store(chain.facelime.store).resolve(answer["artifacts"]["surrogates"])
        assert sorted(explained.texts("id")) == sorted(wrong)
        assert explained.input("models").id == chain["finetune"].id

    def test_without_an_evaluation_source_and_model_are_needed(self, chain):
        fails = chain.facelime.fails
        assert "SOURCE and --model are missing" in fails("explain", code=2)
        assert "--model is missing" in fails("explain", "faces", code=2)
        assert "SOURCE is missing" in fails("explain", "--model", "small", code=2)
        said = fails("explain", "faces", "--model", "small", "--mistakes", 3, code=2)
        assert "--mistakes reads a model's answers" in said

    def test_a_wrong_condition_is_named_before_anything_is_made(self, chain, faces):
        before = {each.name for each in chain.facelime.store.glob("*/*")}
        chain.facelime.fails("explain", faces, "--model", "small", "--where", "age = 3", code=2)
        assert {each.name for each in chain.facelime.store.glob("*/*")} == before


def test_list_answers_in_json(people):
    answer = people.json("list", "people", "--class", "rosacea", "--first", 2)
    assert answer == {"dataset": answer["dataset"], "n": 2, "pictures": ["p003", "p004"]}
    assert json.loads(json.dumps(answer))["dataset"].startswith("people-")


def test_every_option_is_one_of_these():
    assert NAMES[:2] == ("split", "images")
    assert NAMES[-1] == "first"
    assert Choosing() == Choosing(**dict.fromkeys(NAMES))

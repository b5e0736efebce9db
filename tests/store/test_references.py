"""The store: what a reference means, and how artifacts are laid out, named and removed."""

import shutil

import pytest

from facelime_cli.errors import AmbiguousError, BusyError, FacelimeError, NotFoundError, WrongKindError
from facelime_cli.store.references import Store, check_name, name_from
from tests.store.making import complete, create, fill


class TestReferences:
    def test_in_their_order(self, store):
        first, second = complete(store, "a"), complete(store, "b", seed=1)
        assert store.resolve(first.id).id == first.id
        assert store.resolve("b").id == second.id
        assert store.resolve(second.id[:-3]).id == second.id
        assert store.resolve(str(second.path)).id == second.id
        assert store.resolve(f"predictions/{first.id}").id == first.id

    def test_an_exact_name_wins_over_a_prefix(self, store):
        complete(store, "a-long")
        short = complete(store, "a", seed=1)
        assert store.resolve("a").id == short.id

    def test_the_newest_complete_one_of_a_name(self, store):
        complete(store, "a")
        newest = complete(store, "a", seed=1)
        create(store, "a", seed=2)
        assert store.resolve("a").id == newest.id
        assert any("2 complete artifacts are called a" in line for line in store.said)

    def test_an_ambiguous_prefix_lists_the_candidates(self, store):
        both = {complete(store, "abc").id, complete(store, "abd", seed=1).id}
        with pytest.raises(AmbiguousError) as why:
            store.resolve("ab")
        assert all(each in str(why.value) for each in both)

    def test_of_many_candidates_a_few_are_named(self, store):
        for seed in range(10):
            complete(store, f"ab{seed}", seed=seed)
        with pytest.raises(AmbiguousError, match="and 2 others; give more"):
            store.resolve("ab")

    def test_a_path_is_forced(self, store, monkeypatch):
        artifact = complete(store, "a")
        monkeypatch.chdir(artifact.path.parent)
        assert store.resolve(f"./{artifact.id}").id == artifact.id
        with pytest.raises(NotFoundError):
            store.resolve("./a")

    def test_a_path_into_another_store_is_refused(self, store, tmp_path):
        other = complete(Store(tmp_path / "elsewhere"), "a")
        with pytest.raises(NotFoundError, match="--store"):
            store.resolve(str(other.path))

    def test_an_exact_name_of_another_kind_is_not_the_beginning_of_an_id(self, store):
        complete(store, "xray", kind="datasets")
        complete(store, "xray-slic", seed=1, kind="masks")
        with pytest.raises(WrongKindError, match="datasets"):
            store.resolve("xray", ("masks",))

    def test_a_wrong_kind_is_named(self, store):
        artifact = complete(store, "a")
        for reference in ("a", f"predictions/{artifact.id}", str(artifact.path)):
            with pytest.raises(WrongKindError, match="predictions"):
                store.resolve(reference, ("models",))

    def test_names_are_checked(self):
        assert check_name("Rosacea_2-b.c+d") == "Rosacea_2-b.c+d"
        for bad in ("", "../a", "a/b", ".a", "a b", "a" * 101, "-a"):
            with pytest.raises(FacelimeError):
                check_name(bad)
        assert name_from("my faces (2)!") == "my-faces-2"
        assert name_from("...") == "artifact"


class TestMaking:
    def test_who_loses_the_race_uses_the_winners(self, store):
        winner = create(store)
        fill(winner, [0])
        assert create(store).done() == {0}
        assert [path.name for path in (store.root / "predictions").iterdir() if not path.name.startswith(".")] == [
            winner.id
        ]

    def test_one_fingerprint_is_one_artifact_whatever_it_is_called(self, store):
        first, second = create(store, "a"), create(store, "b")
        assert first.id == second.id
        store.remove(first)
        assert create(store, "b").id.startswith("b-")

    def test_an_existing_root_keeps_its_mode_with_a_warning(self, store):
        store.root.mkdir(mode=0o755)
        store.root.chmod(0o755)
        create(store)
        assert store.root.stat().st_mode & 0o777 == 0o755
        assert any("chmod 700" in line for line in store.said)

    def test_a_store_that_cannot_be_written_is_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(FacelimeError, match="cannot be written"):
            create(Store(tmp_path / "file"))

    def test_removing_is_refused_to_nobody_but_dependents_are_known(self, store):
        base = complete(store, "a")
        later = complete(
            store, "b", seed=1, inputs={"masks": {"kind": base.kind, "id": base.id, "digest": base.content}}
        )
        assert [each.id for each in store.dependents(base)] == [later.id]
        assert store.dependents(later) == []
        store.remove(later)
        assert not later.path.exists()

    def test_an_artifact_is_found_by_its_fingerprint_in_a_copied_store_too(self, store):
        artifact = complete(store, "a")
        assert store.find("predictions", artifact.fingerprint).id == artifact.id
        shutil.rmtree(store.root / "predictions" / ".ids")
        assert store.find("predictions", artifact.fingerprint).id == artifact.id
        assert store.find("predictions", "0" * 64) is None

    def test_what_is_known_before_an_artifact_outlives_the_process_until_it_is_cleared(self, store):
        folder = store.scratch("datasets", "key")
        (folder / "measures").write_text("x")
        assert [path.name for path in store.scratch("datasets", "key").iterdir()] == ["measures"]
        assert store.artifacts() == []
        store.clear("datasets", "key")
        store.clear("datasets", "never made")
        assert not folder.exists()

    def test_a_store_has_one_secret(self, store, tmp_path):
        assert store.salt() == store.salt() != Store(tmp_path / "another").salt()
        assert len(store.salt()) == 32
        assert not store.root.exists()
        store.keep_salt()
        assert Store(store.root).salt() == store.salt()
        assert [path.name for path in store.root.iterdir()] == [".salt"]
        assert store.root.stat().st_mode & 0o777 == 0o700

    def test_two_processes_do_not_begin_one_store_with_two_secrets(self, store):
        other = Store(store.root)
        assert other.salt() != store.salt()
        store.keep_salt()
        with pytest.raises(BusyError, match="repeat the command"):
            other.keep_salt()

    def test_a_store_begins_on_a_file_system_without_hard_links(self, store, monkeypatch):
        def refused(*_):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refused)
        secret = store.salt()
        store.keep_salt()
        assert Store(store.root).salt() == secret
        assert [path.name for path in store.root.iterdir()] == [".salt"]

    def test_an_artifact_may_have_several_names(self, store):
        artifact = complete(store, "a")
        store.name(artifact, "b")
        store.name(artifact, "b")
        assert artifact.names == ["a", "b"]
        assert store.resolve("b").id == artifact.id
        assert artifact.name == "a"

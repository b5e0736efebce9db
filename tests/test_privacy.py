"""Privacy: what is planted in pictures, names of files, of people and of the machine is in nothing that is left."""

import base64
import csv
import getpass
import hmac
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from PIL import Image

from facelime_cli.errors import FacelimeError
from facelime_cli.machine import state_folder
from facelime_cli.pseudonyms import KEY_BYTES, keyed
from facelime_cli.reporting.pages import command
from facelime_cli.store.references import Store
from tests.scanning import FILE_NAMES, SECRETS, secrets_in, write_planted
from tests.support import Facelime, save_picture, write_faces, write_scan

SIZE = 48
ALIKE = 12
"""Grey levels by which a compressed picture differs from itself, at most; drawn faces differ by over 20."""
HOST, USER = "planted-host-name", "planted-user-name"


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The user's own folder, outside the store."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("FACELIME_KEY", raising=False)
    return tmp_path / "state" / "facelime"


@pytest.fixture
def machine(tmp_path, monkeypatch, state):  # noqa: ARG001 - the key lies where the test does
    """Names of the user and the host, and the places of this test: what no file may hold."""
    home = tmp_path / "planted-home"
    home.mkdir()
    for name, value in {"HOME": str(home), "USER": USER, "LOGNAME": USER}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    assert getpass.getuser() == USER
    places = {"folder of the test": str(tmp_path), "home": str(home), "interpreter": sys.prefix}
    package = {"package": str(Path(__file__).parents[1]), "host": HOST, "user": USER}
    # The system's own name of the host cannot be set; a short one is the part of many words.
    node = os.uname().nodename
    return places | package | ({"node": node} if len(node) > 6 and node != "localhost" else {})


# The scanner can find


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm"])
def test_the_scanner_finds_what_is_planted_in_a_picture(tmp_path, suffix):
    write_planted(tmp_path, 6, 16)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != suffix:
            path.unlink()
    found = set(secrets_in(tmp_path, SECRETS | FILE_NAMES))
    in_pictures = {each for each in SECRETS if not each.startswith("DICOM")}
    of_png = {"PNG text", "compressed PNG text"}
    wanted = {
        ".png": in_pictures,
        ".jpg": in_pictures - of_png | {"PNG text"},
        ".dcm": {each for each in SECRETS if each.startswith("DICOM")},
    }[suffix]
    assert found == wanted | set(FILE_NAMES)


def test_the_scanner_finds_what_is_packed(tmp_path):
    secret = "Planted-Secret"  # noqa: S105 - no password
    (tmp_path / secret).mkdir()
    (tmp_path / "log").write_bytes(f"line {secret.lower()}".encode())
    (tmp_path / "wide").write_bytes(secret.encode("utf-16-le"))
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("config.json", secret * 9)
    np.savez_compressed(tmp_path / "arrays.npz", names=np.array([secret] * 9))
    with h5py.File(tmp_path / "out.h5", "w") as out:
        out.create_dataset("texts", data=np.array([secret] * 9, object), dtype=h5py.string_dtype())
        out.create_dataset("files/x", data=np.frombuffer(secret.encode() * 9, np.uint8), compression="gzip")
        out["texts"].attrs["unit"] = secret
    array = zarr.create_array(tmp_path / "zarr", shape=(9,), dtype="string")
    array[:] = np.array([secret] * 9, object)
    (tmp_path / "figure.pdf").write_bytes(b"%PDF stream\n" + zlib.compress(secret.encode() * 9) + b"endstream")
    picture = io.BytesIO()
    Image.new("L", (4, 4)).save(picture, "png", exif=_artist(secret))
    encoded = base64.b64encode(picture.getvalue()).decode()
    (tmp_path / "page.html").write_text(f'<img src="data:image/png;base64,{encoded}">')
    (tmp_path / "link").symlink_to(f"/{secret}")
    found = " ".join(secrets_in(tmp_path, {"it": secret})["it"])
    places = ["name of Planted", "log", "wide", "config.json", "values", "/texts", "/files/x", "texts.unit"]
    for place in [*places, "array zarr", "stream 0", "data 0", "link link"]:
        assert place in found, place
    assert secrets_in(tmp_path, {"another": "never planted"}) == {}


def _artist(name):
    exif = Image.Exif()
    exif[0x013B] = name
    return exif


# What a run leaves


def test_pictures_segments_and_masks_hold_nothing_that_was_planted(facelime, tmp_path, machine):
    folder = write_planted(tmp_path / "planted-folder", 24, SIZE)
    (folder / "normal" / f"{FILE_NAMES['file name']}-broken.png").write_bytes(b"\x89PNG")
    words = ("--size", SIZE, "--group-pattern", r"Planted-(\w+-\d+)", "--pseudonyms", "--workers", 1)
    said = facelime("preprocess", folder, *words)
    assert said.exit_code == 0, said.stderr
    segments = facelime.artifact("segment", "pictures", "--segments", 9, "--first", 4, "--workers", 1)
    masks = facelime.artifact("perturb", segments.id, "--samples", 20, "--workers", 1)
    exports = tmp_path / "handed-over"
    exports.mkdir()
    for name, reference in {"data": "datasets/pictures", "masks": masks.reference}.items():
        everything = ("--with-groups", "--with-stand-ins", "--with-table")
        facelime.json("export", reference, "--to", exports / f"{name}.h5", *everything)
    kept = SECRETS | FILE_NAMES | machine | {"folder": folder.name}
    assert secrets_in(facelime.store, kept) == {}
    assert secrets_in(exports, kept) == {}
    dataset = Store(facelime.store).resolve("datasets/pictures")
    assert dataset.facts["unreadable"][0]["reason"]
    assert "Planted" not in said.stderr
    assert "`facelime pseudonyms` says which files these are" in said.stderr


def test_without_pseudonyms_names_are_kept_and_said(facelime, tmp_path, state):
    folder = write_planted(tmp_path / "some", 6, 24)
    said = facelime("preprocess", folder, "--size", 24, "--name", "x", "--workers", 1)
    assert said.stderr.count("names of the files are kept") == 1
    assert set(secrets_in(facelime.store, SECRETS | FILE_NAMES)) == set(FILE_NAMES)
    assert not state.exists()


@pytest.mark.long
@pytest.mark.parametrize("hidden", [True, False])
def test_a_full_run_holds_nothing_that_was_planted(tmp_path, machine, hidden):
    run = Facelime(tmp_path / "store")
    folder = write_planted(tmp_path / "planted-folder", 60, SIZE)
    words = ["preprocess", folder, "--name", "faces", "--size", SIZE, *(["--pseudonyms"] if hidden else [])]
    run.json(*words)
    left = _run_all(run, folder, tmp_path / "handed-over")
    kept = SECRETS | (FILE_NAMES if hidden else {}) | machine
    for place in left:
        assert secrets_in(place, kept) == {}


def _run_all(run, folder, exports):
    """Run every kind of stage, and export all that they make; return the folders of what is left."""
    run.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    run.json("evaluate", "small", "--bootstrap", 100)
    run.json("describe", "faces")
    run.json("explain", "faces", "--model", "small", "--split", "test", "--first", 2, "--samples", 60)
    check = next(each for each in Store(run.store).artifacts(("checks",)))
    run.json("render", check.id, "--no-stand-ins", "--single-file", "--figures", "png,svg,pdf")
    segments = Store(run.store).artifacts(("segments",))[0]
    run.json("gradcam", segments.id, "--model", "small")
    maps = _maps(folder, exports.parent / "maps")
    run.json("import-maps", segments.id, "--model", "small", "--maps", maps)
    surrogates = [each.reference for each in Store(run.store).artifacts(("surrogates",)) if each.stage != "consensus"]
    run.json("compare", *surrogates[:2])
    exports.mkdir()
    everything = ("--with-groups", "--with-stand-ins", "--with-table")
    for number, each in enumerate(Store(run.store).artifacts()):
        run.json("export", each.reference, "--to", exports / f"{number}.h5", *everything)
        if each.kind == "surrogates":
            run.json("export", each.reference, "--to", exports / f"{number}.csv")
    return run.store, exports


def _maps(folder, maps):
    """Write a map for every picture, under its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            values = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)
            save_picture((maps / path.relative_to(folder)).with_suffix(".png"), values)
    return maps


@pytest.mark.long
@pytest.mark.parametrize("check", ["--check", "--no-check"])
def test_a_report_for_one_patient_shows_no_other(chain, tmp_path, check, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = chain.copy(tmp_path / "store")
    folder = tmp_path / "visits"
    write_faces(folder / "train", 8, SIZE)
    (folder / "test" / "normal").mkdir(parents=True)
    for number in (0, 2):
        shutil.copy(
            folder / "train" / "normal" / f"face-00{number}.png", folder / "test" / "normal" / f"Own-{number}.png"
        )
    (folder / "train" / "normal" / "face-broken.png").write_bytes(b"\x89PNG")
    run.json("preprocess", folder, "--size", SIZE, "--name", "visits", "--workers", 1)
    words = ("visits", "--model", "small", "--images", "test/normal/Own-0", "--samples", 60, check, "--workers", 1)
    made = run.json("explain", *words, "--views", "single", "--no-stand-ins", "--figures", "png,svg")
    report = Path(made["report"]).parent
    others = {"others": "face-00", "another": "Own-2", "unreadable": "face-broken"}
    assert secrets_in(report, others) == {}
    assert set(secrets_in(report, {"own": "Own-0", "leakage": "the same picture in different splits"})) == {
        "own",
        "leakage",
    }
    # The donor is a picture of the dataset: no drawn stand-in comes near it, unless people may be shown.
    masks = next(each for each in Store(run.store).artifacts(("masks",)) if each.name.startswith("visits"))
    donor = Store(run.store).resolve("visits", ("datasets",)).read("images")[masks.read("fill_row")[0]]
    assert not any(_is(donor, path) for path in report.rglob("*.jpg"))
    shown = run.json("explain", *words, "--views", "single")
    assert any(_is(donor, path) for path in Path(shown["report"]).parent.rglob("*.jpg"))
    out = tmp_path / "out"
    out.mkdir()
    for number, each in enumerate(Store(run.store).artifacts(("surrogates", "masks", "predictions", "checks"))):
        if each.name.startswith("visits"):
            run.json("export", each.reference, "--to", out / f"{number}.h5")
    run.json("export", f"reports/{report.name}", "--to", out / "report.h5")
    assert len(list(out.iterdir())) >= 4
    assert secrets_in(out, others) == {}


def _is(image, path):
    """Return whether a file shows a picture, but for its compression."""
    shown = Image.open(path).convert("RGB").resize((SIZE, SIZE))
    return np.abs(np.asarray(shown).astype(int) - image.astype(int)).mean() < ALIKE


@pytest.mark.long
def test_a_picture_is_explained_under_its_pseudonym(chain, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = chain.copy(tmp_path / "store")
    picture = write_planted(tmp_path / "planted", 2, SIZE) / "normal" / f"{FILE_NAMES['file name']}-000.png"
    words = ("--model", "small", "--samples", 40, "--views", "single", "--no-check", "--workers", 1)
    made = run.json("explain", picture, *words, "--pseudonyms")
    assert made["artifacts"]["datasets"].startswith("datasets/pictures-")
    assert secrets_in(run.store, SECRETS | FILE_NAMES | {"folder": str(tmp_path)}) == {}
    assert run.json("explain", made["artifacts"]["datasets"], *words, "--pseudonyms")["reused"]
    assert "keeps their names" in run.fails("explain", "faces", *words, "--pseudonyms", code=2)


# Pseudonyms

HIDDEN = ("--pseudonyms", "--size", 24, "--workers", 1)


@pytest.fixture
def named(tmp_path):
    return write_faces(tmp_path / "Doe-Jane", 8, 24, tmp_path / "truth")


def test_pseudonyms_are_the_same_in_every_store_and_others_with_another_key(tmp_path, named, state, monkeypatch):
    stores = [Facelime(tmp_path / each) for each in ("one", "two", "three")]
    first, second = (store.artifact("preprocess", named, *HIDDEN) for store in stores[:2])
    assert first.id == second.id == f"pictures-{first.fingerprint[:8]}"
    assert first.texts("id") == second.texts("id") == sorted(first.texts("id"))
    key = (state / "pseudonyms.key").read_bytes()
    assert keyed(key, "picture", "normal/face-000") in first.texts("id")
    (tmp_path / "key").write_bytes(b"x" * KEY_BYTES)
    monkeypatch.setenv("FACELIME_KEY", str(tmp_path / "key"))
    # A shared key stays as its group has it.
    (tmp_path / "key").chmod(0o644)
    said = stores[2]("preprocess", named, *HIDDEN)
    assert "others on this machine can read the key" in said.stderr
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o644
    third = Store(stores[2].store).resolve(said.stdout.strip())
    assert third.fingerprint != first.fingerprint
    assert not set(third.texts("id")) & set(first.texts("id"))


def test_the_key_is_the_users_alone(facelime, named, state):
    facelime.json("preprocess", named, *HIDDEN)
    path = state / "pseudonyms.key"
    assert state_folder() == state
    assert state.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_bytes()
    assert len(key) == KEY_BYTES
    for file in facelime.store.rglob("*"):
        assert not file.is_file() or not {key, key.hex().encode()} & {file.read_bytes()}
    assert secrets_in(facelime.store, {"key": key.hex()}) == {}
    path.chmod(0o644)
    facelime.store = facelime.store.with_name("other")
    assert "could read the key" in facelime("preprocess", named, *HIDDEN).stderr
    assert path.stat().st_mode & 0o777 == 0o600


def test_processes_that_begin_together_make_one_key(state):
    words = [sys.executable, "-c", "from facelime_cli.pseudonyms import Pseudonyms; print(Pseudonyms(print).key.hex())"]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {process.communicate()[0].strip() for process in processes} == {
        (state / "pseudonyms.key").read_bytes().hex()
    }
    assert [path.name for path in state.iterdir()] == ["pseudonyms.key"]


def test_a_key_that_cannot_be_used_is_named_before_anything_is_written(facelime, named, state, monkeypatch):
    assert "no key" in facelime.fails("pseudonyms", named)
    monkeypatch.setenv("FACELIME_KEY", str(state / "mistyped"))
    assert "mistyped" in facelime.fails("preprocess", named, *HIDDEN)
    monkeypatch.delenv("FACELIME_KEY")
    state.mkdir(parents=True)
    (state / "pseudonyms.key").write_bytes(b"short")
    assert "5 bytes in place of 32" in facelime.fails("preprocess", named, *HIDDEN)
    assert not facelime.store.exists()


def test_the_owner_of_the_key_finds_a_name_back(facelime, named, state):
    dataset = facelime.artifact("preprocess", named, *HIDDEN)
    rows = list(csv.DictReader(io.StringIO(facelime("pseudonyms", named).stdout)))
    assert {row["id"] for row in rows} == set(dataset.texts("id"))
    assert {row["file"] for row in rows} == {f"{path.parent.name}/{path.name}" for path in named.rglob("*.png")}
    pixels = {row["id"]: np.asarray(Image.open(named / row["file"])) for row in rows}
    for name, image in zip(dataset.texts("id"), dataset.read("images"), strict=True):
        assert np.array_equal(image, pixels[name])
    assert command(dataset) == "facelime preprocess SOURCE --size 24 --split 70:20:10 --pseudonyms"
    assert "normal/face-000" not in facelime.fails("segment", dataset.id, "--images", "normal/face-001")
    assert (state / "pseudonyms.key").exists()


def test_groups_masks_and_maps_are_still_found_by_the_names_of_files(facelime, named, tmp_path, state):
    words = ("--group-pattern", r"face-\d\d(\d)", "--truth", tmp_path / "truth")
    dataset = facelime.artifact("preprocess", named, *HIDDEN, *words)
    key = (state / "pseudonyms.key").read_bytes()
    expected = {keyed(key, "picture", f"{label}/face-{n:03d}"): n for n in range(8) for label in ("normal", "rosacea")}
    ids = dataset.texts("id")
    assert dataset.texts("group") == [keyed(key, "group", str(expected[name] % 10)) for name in ids]
    with_truth = dataset.read("truth").reshape(8, -1).any(axis=1)
    assert with_truth.tolist() == [expected[name] % 2 == 1 for name in ids]
    labels = tmp_path / "labels"
    for path in named.rglob("*.png"):
        blocks = np.repeat(np.arange(4, dtype=np.uint8), 6)[:, None].repeat(24, axis=1)
        save_picture(labels / path.relative_to(named), blocks)
    segments = facelime.artifact("segment", "pictures", "--method", "file", "--labels", labels, "--workers", 1)
    assert set(segments.read("n_segments").tolist()) == {4}
    shutil.rmtree(state)
    assert "no label map" in facelime.fails("segment", "pictures", "--method", "file", "--labels", labels)
    assert not state.exists()


def test_columns_of_a_table_are_kept_only_where_they_are_named(facelime, named, tmp_path, state):  # noqa: ARG001
    lines = ["image_id,kind,patient,age,ward"]
    lines += [
        f"{path.stem},{path.parent.name},P-{n},4{n % 10},Ward-Secret" for n, path in enumerate(named.rglob("*.png"))
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    words = (named, *HIDDEN, "--table", table, "--label-column", "kind", "--group-column", "patient")
    dataset = facelime.artifact("preprocess", *words)
    assert not [name for name in dataset.arrays if name.startswith("table/")]
    kept = facelime.artifact("preprocess", *words, "--columns", "age")
    assert [name for name in kept.arrays if name.startswith("table/")] == ["table/age"]
    assert secrets_in(facelime.store, {"group": "P-1", "ward": "Ward-Secret", "name": "face-0"}) == {}
    assert "no column" in facelime.fails("preprocess", *words, "--columns", "sex", code=2)
    assert "--table" in facelime.fails("preprocess", named, "--columns", "age", code=2)


def test_arrays_of_a_file_get_pseudonyms_too(facelime, tmp_path, state):  # noqa: ARG001
    images, labels = np.zeros((6, 24, 24), np.uint8), np.arange(6) % 2
    images[:] = np.arange(6)[:, None, None]
    np.savez(tmp_path / "small.npz", train_images=images[:4], train_labels=labels[:4], test_images=images[4:])
    dataset = facelime.artifact("preprocess", tmp_path / "small.npz", *HIDDEN)
    rows = facelime.json("pseudonyms", tmp_path / "small.npz")["pseudonyms"]
    place = {row["id"]: int(row["file"][-1]) + 4 * row["file"].startswith("test") for row in rows}
    assert dataset.read("images")[:, 0, 0, 0].tolist() == [place[name] for name in dataset.texts("id")]


# The secret of a store


def write_scans(folder):
    for number in range(6):
        write_scan(folder / f"{number}.dcm", np.full((16, 16), 100 * number, np.uint16), PatientID=f"PID-{number % 3}")
    return folder


def test_patients_are_hashed_with_a_secret_that_its_owner_alone_reads(facelime, tmp_path):
    scans = write_scans(tmp_path / "scans")
    dataset = facelime.artifact("preprocess", scans, "--size", 16, "--workers", 1)
    path = facelime.store / ".salt"
    assert path.stat().st_mode & 0o777 == 0o600
    salt = path.read_bytes()
    assert dataset.texts("group") == [keyed(salt, "patient", f"PID-{number % 3}") for number in range(6)]
    assert keyed(salt, "patient", "PID-1") == hmac.new(salt, b"patient\0PID-1", "sha256").hexdigest()[:16]
    # Nothing that is handed over holds it.
    facelime.json("export", dataset.reference, "--to", tmp_path / "out.h5", "--with-groups")
    assert salt not in (tmp_path / "out.h5").read_bytes()
    assert not any(salt in each.read_bytes() for each in dataset.path.rglob("*") if each.is_file())


def test_an_open_secret_is_closed_and_stays_the_same(facelime, tmp_path):
    scans = write_scans(tmp_path / "scans")
    dataset = facelime.artifact("preprocess", scans, "--size", 16, "--workers", 1)
    path = facelime.store / ".salt"
    salt = path.read_bytes()
    path.chmod(0o644)
    assert facelime("status").stderr == ""
    said = facelime("segment", dataset.id, "--segments", 4, "--workers", 1)
    assert "could read the secret" in said.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == salt
    assert facelime.json("preprocess", scans, "--size", 16, "--workers", 1)["reused"]
    path.write_bytes(b"")
    assert "0 bytes in place of 32" in facelime.fails("preprocess", scans, "--size", 24)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_secret_of_another_user_is_named():
    # The folders of tests are closed to others, which would hide the store as well.
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        Path(folder).chmod(0o755)
        store.salt()
        store.keep_salt()
        os.seteuid(65534)
        try:
            with pytest.raises(FacelimeError, match="belongs to another user"):
                Store(Path(folder)).salt()
        finally:
            os.seteuid(0)


def test_with_pseudonyms_patients_are_the_same_in_every_store(tmp_path, state):
    scans = write_scans(tmp_path / "scans")
    stores = [Facelime(tmp_path / each) for each in ("one", "two")]
    one, two = (each.artifact("preprocess", scans, "--size", 16, "--pseudonyms", "--workers", 1) for each in stores)
    assert one.content == two.content
    assert len(set(one.texts("group"))) == 3
    assert (state / "pseudonyms.key").exists()
    assert not (tmp_path / "one" / ".salt").exists()

"""What `preprocess` reads, what it passes over, and what it says of both."""

import shutil
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core import images, leakage
from tests.core.test_inputs import P3, deep_png, eight, film, jpeg, numbers, rgb_profile, saved, tiff
from tests.support import write_scan

SIDE = 16
SMALL = ("--size", SIDE, "--workers", 1)


def pictures(folder, n=3, ending=".jpg", **more):
    """Write pictures of noise, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n):
        rng = np.random.default_rng([number, n])
        saved(folder / f"{number}{ending}", rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), **more)
    return folder


def test_one_line_says_what_was_read(facelime, tmp_path):
    folder = pictures(tmp_path / "a", 3)
    pictures(tmp_path / "a" / "more", 2, ".png")
    jpeg(folder / "wide.jpg", np.zeros((SIDE, SIDE, 3), np.uint8), icc_profile=rgb_profile("Display P3", P3))
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name in ("scan.nii.gz", "other.nii.gz", "notes.txt", "letter.mueller", "Thumbs.db", ".hidden", "LOCKFILE"):
        (folder / name).write_bytes(b"nothing")
    made = facelime("preprocess", folder, *SMALL)
    said = (
        "read 4 JPEG, 2 PNG; 1 profile converted: 1 Display P3; 1 skipped: 1 truncated; "
        "4 other files passed over: 2 .nii.gz, 1 .txt, 1 of another kind."
    )
    assert made.stderr.splitlines().count(said) == 1
    facts = facelime.json("show", made.stdout.strip())["manifest"]["facts"]["read"]
    assert facts == {
        "kinds": {"JPEG": 4, "PNG": 2},
        "notes": {"profile:Display P3": 1},
        "skipped": {"truncated": 1},
        "passed_over": {".nii.gz": 2, ".txt": 1, "of another kind": 1},
        "said": said,
    }


@pytest.mark.long
def test_the_page_of_a_dataset_says_what_was_read(facelime, tmp_path):
    made = facelime("preprocess", pictures(tmp_path / "a"), *SMALL)
    page = facelime.artifact("describe", made.stdout.strip()).file("index.html").read_text()
    assert "<p>Files: read 3 JPEG.</p>" in page


def test_there_is_nothing_to_say_of_files_that_are_all_pictures(facelime, tmp_path):
    made = facelime("preprocess", pictures(tmp_path / "a"), *SMALL)
    assert "\nread 3 JPEG.\n" in made.stderr


def test_names_of_files_are_no_part_of_it(facelime, tmp_path):
    folder = pictures(tmp_path / "a")
    for name in ("Anna.Mueller", "Ben.jpg", "Cara.nii.gz"):
        (folder / name).write_bytes(b"nothing")
    read = facelime.artifact("preprocess", folder, *SMALL, "--pseudonyms").facts["read"]
    assert read["skipped"] == {"in no known format": 1}
    assert not any(name in str(read) for name in ("Anna", "ueller", "Ben", "Cara"))


def test_a_folder_without_pictures_says_what_it_holds(facelime, tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / "a" / f"{number}.nii.gz").write_bytes(b"")
    assert "there are no pictures" in (said := facelime.fails("preprocess", tmp_path / "a"))
    assert "only other files (3 .nii.gz)" in said


def test_dicom_is_known_by_its_first_bytes(facelime, tmp_path):
    folder = pictures(tmp_path / "a", 1)
    ramp = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
    for name in ("IM0001", "1.2.840.10008.1", "1.2.840.10008.2", "photo.bmp"):
        write_scan(tmp_path / "scan.dcm", ramp)
        shutil.move(tmp_path / "scan.dcm", folder / name)
    data = facelime.artifact("preprocess", folder, *SMALL)
    # The last part of a number is no ending.
    assert data.texts("id") == ["0", "1.2.840.10008.1", "1.2.840.10008.2", "IM0001", "photo"]
    assert data.facts["read"]["kinds"] == {"DICOM": 4, "JPEG": 1}
    assert len({tuple(each.ravel()[:50]) for each in data.read("images")[1:]}) == 1


def test_heic_without_its_decoder_is_named(facelime, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="HEIC is an extra")
    folder = pictures(tmp_path / "a", 2)
    heif.from_pillow(Image.new("RGB", (SIDE, SIDE))).save(folder / "phone.heic")
    # As where the extra is not installed: Python then finds no such package.
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    with pytest.raises(
        images.UnreadableError, match=r"^is HEIC; install its decoder with: pip install 'facelime\[heic\]'$"
    ):
        images.read(folder / "phone.heic")
    made = facelime("preprocess", folder, *SMALL)
    assert "1 skipped: 1 HEIC without a decoder" in made.stderr
    assert "phone.heic is HEIC; install" in made.stderr
    assert "phone.heic is HEIC" in facelime.fails("preprocess", folder, "--size", 2 * SIDE, "--workers", 1, "--strict")


def test_formats_that_are_not_read_are_named_too(facelime, tmp_path):
    folder = pictures(tmp_path / "a", 1)
    (folder / "lossless.jls").write_bytes(b"\xff\xd8\xff\xf7" + b"\0" * 200)
    (folder / "new.jxl").write_bytes(b"\xff\x0a" + b"\0" * 200)
    read = facelime.artifact("preprocess", folder, *SMALL).facts["read"]
    assert read["skipped"] == {"JPEG XL": 1, "JPEG-LS": 1}


class TestBits:
    def deep(self, folder, n=2, most=4096):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(n):
            deep_png(folder / f"{number}.png", numbers(most, (SIDE, SIDE), seed=number)[..., None], 0)
        return folder

    def test_a_range_that_is_not_used_is_told(self, facelime, tmp_path):
        made = facelime("preprocess", self.deep(tmp_path / "a"), *SMALL)
        assert (
            "warning: 2 pictures with 16 bits per value use only 0…4,095 of 0…65,535, so that they are dark; "
            "with --bits 12, 4,095 is white." in made.stderr
        )

    def test_the_option_makes_white_of_it(self, facelime, tmp_path):
        folder = self.deep(tmp_path / "a")
        plain = facelime.artifact("preprocess", folder, *SMALL)
        bright = facelime.artifact("preprocess", folder, *SMALL, "--bits", 12)
        expected = eight(numbers(4096, (SIDE, SIDE), seed=0), 4095)
        assert np.array_equal(bright.read("images")[0][..., 0], expected)
        # A dataset that was made before there was such an option has the same parameters as one made without it.
        assert bright.parameters["bits"] == 12
        assert not {"bits", "frame"} & set(plain.parameters)
        assert plain.id != bright.id
        again = facelime("preprocess", folder, *SMALL, "--bits", 12)
        assert again.stdout.strip() == bright.id

    def test_one_first_look_is_not_taken_for_another(self, facelime, tmp_path, monkeypatch):
        from facelime_cli.preparing import looking
        from facelime_cli.stages.preprocess import _Job
        from facelime_cli.stopping import StopRequested

        monkeypatch.setattr(looking, "CHECKED_TOGETHER", 1)
        folder = self.deep(tmp_path / "a")
        with monkeypatch.context() as patch:
            patch.setattr(_Job, "work", lambda *_: (_ for _ in ()).throw(StopRequested(2)))
            facelime("preprocess", folder, *SMALL)
        made = facelime.artifact("preprocess", folder, *SMALL, "--bits", 12)
        assert made.facts["read"]["notes"] == {"bits:12": 2}

    def test_values_above_are_refused(self, facelime, tmp_path):
        folder = self.deep(tmp_path / "a")
        deep_png(folder / "whole.png", np.full((SIDE, SIDE, 1), 5000), 0)
        made = facelime("preprocess", folder, *SMALL, "--bits", 12)
        assert "whole.png holds the value 5,000, above the 4,095 of --bits 12; give more bits" in made.stderr

    def test_dark_ones_beside_others_are_told(self, facelime, tmp_path):
        folder = self.deep(tmp_path / "a")
        self.deep(folder / "whole", 1, 65536)
        made = facelime("preprocess", folder, *SMALL)
        assert "warning: 2 of 3 pictures with 16 bits per value use only 0…4,095" in made.stderr

    def test_bits_without_such_pictures(self, facelime, tmp_path):
        said = facelime.fails("preprocess", pictures(tmp_path / "a"), *SMALL, "--bits", 12)
        assert "--bits 12 is about pictures with 16 bits per value, and no picture has them; leave it out" in said

    def test_arrays(self, facelime, tmp_path):
        values = np.stack([numbers(4096, (SIDE, SIDE), seed=number) for number in range(4)])
        np.savez(tmp_path / "a.npz", train_images=values)
        made = facelime("preprocess", tmp_path / "a.npz", *SMALL)
        assert "4 pictures with 16 bits per value use only 0…4,095" in made.stderr
        bright = facelime.artifact("preprocess", tmp_path / "a.npz", *SMALL, "--bits", 12)
        assert np.array_equal(bright.read("images")[0][..., 0], eight(values[0], 4095))


def measured(number, file_format=".png", kind="PNG", notes=()):
    """Return what a picture measures whose trivial figures are those of all others."""
    near, thumbnail = (np.random.default_rng(number).bytes(length) for length in (32, 256))
    figures = (1.0,) * len(leakage.FIGURES)
    return leakage.Traits(figures, file_format, str(number), near, thumbnail, kind, notes)


@pytest.mark.parametrize(
    ("ill", "well", "name"),
    [
        ({"notes": ("profile:Display P3",)}, {}, "colour profile"),
        ({"notes": ("uses:12",)}, {"notes": ("uses:16",)}, "used bits"),
        ({"notes": ("bits:12",)}, {}, "given bits"),
        ({"kind": "JPEG"}, {}, "content"),
    ],
)
def test_how_files_are_read_is_a_leak_where_it_goes_with_the_class(ill, well, name):
    traits = [measured(number, **(ill if number % 2 else well)) for number in range(12)]
    labels = np.arange(12) % 2
    ids = [str(number) for number in range(12)]
    found = leakage.report(ids, traits, labels, np.zeros(12, int), ids)
    assert found["trivial_rule"]["strongest"] == [(name.replace(" ", "_"), 1.0)]
    assert f"borders, corners, file format and {name}. " in found["sentences"][0]


def test_files_that_are_read_alike_are_no_leak():
    """14 and 16 bits are dark and bright pictures, and a JPEG is called .jpg."""
    traits = [
        measured(n, *((".jpg", "JPEG") if n % 2 else (".png", "PNG")), (f"uses:{14 + n % 3}",)) for n in range(12)
    ]
    ids = [str(number) for number in range(12)]
    found = leakage.report(ids, traits, np.arange(12) % 2, np.zeros(12, int), ids)
    assert [name for name, _ in found["trivial_rule"]["strongest"]] == ["file_format"]
    assert "borders, corners and file format. " in found["sentences"][0]


@pytest.mark.long
def test_a_profile_that_goes_with_the_class_is_a_leak(facelime, tmp_path):
    pictures(tmp_path / "a" / "ill", 8, icc_profile=rgb_profile("Display P3", P3))
    pictures(tmp_path / "a" / "well", 9)
    leaks = facelime.artifact("preprocess", tmp_path / "a", *SMALL).facts["leakage"]
    assert ["colour_profile", 1.0] in [list(each) for each in leaks["trivial_rule"]["strongest"]]
    assert "file format and colour profile" in leaks["sentences"][-1]


def test_a_frame_is_chosen(facelime, tmp_path):
    (tmp_path / "a").mkdir()
    values = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (10, 200)])
    tiff(tmp_path / "a" / "stack.tif", values, photometric="rgb")
    said = facelime.fails("preprocess", tmp_path / "a", *SMALL)
    assert "stack.tif holds 2 frames; name the one that is meant with --frame N" in said
    data = facelime.artifact("preprocess", tmp_path / "a", *SMALL, "--frame", 2)
    assert data.read("images").tolist() == values[1:].tolist()
    assert "there is no frame 3" in facelime.fails("preprocess", tmp_path / "a", *SMALL, "--frame", 3)


def test_what_may_be_wrong_with_the_colours_is_told_once(facelime, tmp_path):
    folder = pictures(tmp_path / "a", 3, icc_profile=b"broken")
    made = facelime("preprocess", folder, *SMALL)
    told = [line for line in made.stderr.splitlines() if "colour profile" in line and "leakage" not in line]
    sentence = "has a colour profile that is damaged or is for other pixels, so that it is taken as sRGB"
    assert told == [f"warning: 0.jpg {sentence}, and so do 2 more files."]


class TestMasks:
    def test_a_faint_mark_of_16_bits(self, tmp_path):
        values = np.array([[0, 1, 300]], np.uint16)
        for path in (
            deep_png(tmp_path / "a.png", values[..., None], 0),
            tiff(tmp_path / "a.tif", values, photometric="minisblack"),
            deep_png(tmp_path / "b.png", values[..., None].repeat(3, -1), 2),
            tiff(tmp_path / "c.tif", (values / 1000).astype(np.float32), photometric="minisblack"),
        ):
            assert images.decode_mask(path).tolist() == [[0, 1, 1]], path

    def test_0_may_be_white(self, tmp_path):
        for values in (
            np.array([[0, 255]], np.uint8),
            np.array([[0, 65535]], np.uint16),
            np.array([[0, 1]], np.float32),
        ):
            path = tiff(tmp_path / "a.tif", values, photometric="miniswhite")
            assert images.decode_mask(path).tolist() == [[1, 0]]

    def test_what_jpeg_leaves_around_an_edge_is_no_mark(self, tmp_path):
        disc = np.hypot(*(np.mgrid[:40, :40] - 20)) < 12
        for level in (255, 60):
            Image.fromarray(disc.astype(np.uint8) * level).save(tmp_path / "a.jpg", quality=60)
            with Image.open(tmp_path / "a.jpg") as picture:
                assert 0 < np.asarray(picture)[~disc].max() < level / 2
            # What lies around the edge is a fifth of the disc.
            assert (images.decode_mask(tmp_path / "a.jpg") != disc).sum() < 0.05 * disc.sum()

    def test_several_pages_and_dicom_are_refused(self, tmp_path):
        with pytest.raises(images.UnreadableError, match="holds 2 frames; save the one that is meant"):
            images.decode_mask(film(tmp_path / "a.gif"))
        path = write_scan(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16))
        with pytest.raises(images.UnreadableError, match="is DICOM, whose values are no mask"):
            images.decode_mask(path)


def test_a_profile_s_text_is_not_kept(tmp_path):
    """A screen is often called by its owner."""
    profile = rgb_profile("Screen of Anna Mueller", P3)
    jpeg(tmp_path / "a.jpg", np.zeros((SIDE, SIDE, 3), np.uint8), icc_profile=profile)
    (note,) = images.read(tmp_path / "a.jpg").notes
    assert note.startswith("profile:RGB profile ")
    assert "Anna" not in note


def test_the_index_of_a_disc_is_no_picture(facelime, tmp_path):
    folder = pictures(tmp_path / "a", 1)
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + struct.pack("<I", 0))
    assert facelime.artifact("preprocess", folder, *SMALL).facts["read"]["passed_over"] == {}

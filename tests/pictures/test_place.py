"""Folders and archives: what is listed, what is left alone, what can't be used and why."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cutaway.errors import DataError, NotFoundError
from cutaway.pictures import Place, open_place
from cutaway.pictures import place as rooms
from cutaway.pictures.place import Listing

KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")

FILES: Mapping[str, bytes] = {
    "rose/2.png": b"two",
    "rose/10.JPG": b"ten",
    "rose/deep/er/3.webp": b"three" * 400,
    "tulip/1.png": b"one",
    "rose-red/1.png": b"red",
    "rose/notes.txt": b"no image",
    "rose/.hidden.png": b"hidden",
    ".git/1.png": b"hidden",
    "__MACOSX/rose/2.png": b"litter",
    "Thumbs.db/1.png": b"litter",
    "README": b"read me",
}
PICTURES = ["rose-red/1.png", "rose/10.JPG", "rose/2.png", "rose/deep/er/3.webp", "tulip/1.png"]
FOLDERS = {"rose", "rose/deep", "rose/deep/er", "tulip", "rose-red"}


def folder(path: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def packed(path: Path, files: Sequence[tuple[str, bytes]], kind: str) -> Path:
    path = path / f"packed.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, f"w:{kind[4:]}" if kind != "tar" else "w") as tar:  # type: ignore[call-overload]
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def names(place: Place) -> list[str]:
    return place.list().names


def contents(place: Place) -> dict[str, bytes | str]:
    return {
        name: where.read_bytes() if isinstance(where, Path) else where
        for name, where in place.read(names(place))
    }


def bad(path: Path) -> list[tuple[str, str]]:
    return open_place(path).list().bad


# What is listed.


@pytest.mark.parametrize("kind", ["folder", *KINDS])
def test_all_kinds_list_and_read_the_same(tmp_path: Path, kind: str) -> None:
    path = folder(tmp_path / "flowers") if kind == "folder" else packed(tmp_path, list(FILES.items()), kind)
    place = open_place(path)
    found = place.list()
    assert found.names == PICTURES
    assert found.folders == FOLDERS
    assert found.bad == []
    assert contents(place) == {name: FILES[name] for name in PICTURES}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_s_kind_is_told_by_its_content(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, list(FILES.items()), kind).rename(tmp_path / "flowers.dat")
    assert names(open_place(path)) == PICTURES


@pytest.mark.parametrize("kind", KINDS)
def test_names_in_archives_are_made_plain(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, [("./a//1.png", b"1"), ("a/./2.png", b"2")], kind)
    assert contents(open_place(path)) == {"a/1.png": b"1", "a/2.png": b"2"}


def test_empty_folders_in_archives_are_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/rose/", b"")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("train/rose")
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    for path in (tmp_path / "a.zip", tmp_path / "a.tar"):
        assert open_place(path).list().folders == {"train", "train/rose"}


def test_a_tar_whose_last_file_is_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = packed(tmp_path, [("inner.png", b"inner")], "zip").read_bytes()
    path = packed(tmp_path, [("a/1.png", b"1"), ("a/inner.zip", inner)], "tar")
    assert names(open_place(path)) == ["a/1.png"]


def test_a_stamp_changes_with_what_it_stands_for(tmp_path: Path) -> None:
    root = folder(tmp_path / "flowers")
    place = open_place(root)
    assert place.stamp() is None
    before = place.list()
    assert before == place.list()
    assert before.digest() == place.list().digest()
    about = (root / "rose/2.png").stat()
    (root / "rose/2.png").write_bytes(b"TWO")
    os.utime(
        root / "rose/2.png", ns=(about.st_atime_ns, about.st_mtime_ns)
    )  # its change is seen all the same
    after = place.list()
    assert [name for name in PICTURES if before.files[name] != after.files[name]] == ["rose/2.png"]
    assert before.digest() != after.digest()
    archive = open_place(packed(tmp_path, [("a/1.png", b"1")], "zip"))
    stamp = archive.stamp()
    assert stamp == archive.stamp()
    packed(tmp_path, [("a/1.png", b"2")], "zip")
    assert archive.stamp() != stamp


def test_a_digest_is_another_one_for_any_other_listing() -> None:
    listings = [
        Listing(),
        Listing({"a.png": 1}),
        Listing({"a.png": 2}),
        Listing({"b.png": 1}),
        Listing({"a.png": 1, "b.png": 1}),
        Listing({"a.png": 1}, {"a"}),
        Listing({"a.png": 1}, set(), [("a", "it is no file")]),
        Listing({os.fsdecode(b"\xff.png"): 1}),
    ]
    assert len({listing.digest() for listing in listings}) == len(listings)


# Links.


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    elsewhere = folder(tmp_path / "elsewhere", {"x/1.png": b"1", "2.png": b"2"})
    root = folder(tmp_path / "root", {"tulip/1.png": b"t"})
    (root / "rose").symlink_to(elsewhere / "x")
    (root / "tulip/2.png").symlink_to(elsewhere / "2.png")
    (root / "again").symlink_to(root / "tulip")
    place = open_place(root)
    assert contents(place) == {
        "again/1.png": b"t",
        "again/2.png": b"2",
        "rose/1.png": b"1",
        "tulip/1.png": b"t",
        "tulip/2.png": b"2",
    }
    assert place.list().folders == {"again", "rose", "tulip"}
    assert bad(root) == []


def test_links_that_lead_back_or_nowhere_are_told(tmp_path: Path) -> None:
    root = folder(tmp_path / "root", {"rose/1.png": b"1"})
    (root / "rose/up").symlink_to("..")
    (root / "rose/self").symlink_to(root / "rose")
    (root / "rose/2.png").symlink_to("gone.png")
    (root / "rose/3.png").symlink_to("3.png")
    (root / "rose/gone.txt").symlink_to("nowhere.txt")
    (root / "tulip").symlink_to("/nowhere/tulip")
    back, nowhere = "the link leads back to a folder that it lies in", "the link leads nowhere"
    assert bad(root) == [
        ("rose/2.png", nowhere),
        ("rose/3.png", nowhere),
        ("rose/self", back),
        ("rose/up", back),
        ("tulip", nowhere),
    ]
    assert names(open_place(root)) == ["rose/1.png"]


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    root = folder(tmp_path / "root", {"rose/1.png": b"1"})
    os.mkfifo(root / "rose/2.png")
    assert bad(root) == [("rose/2.png", "it is no file")]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError) as caught:
        open_place(tmp_path / "pipe")
    assert (
        str(caught.value)
        == f"{tmp_path / 'pipe'} is neither a folder nor a .zip or .tar archive, or it is damaged."
    )


def test_a_folder_that_can_t_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "root", {"rose/1.png": b"1", "tulip/1.png": b"1"})
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("tulip"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("cutaway.pictures.place.os.scandir", refuse)
    assert bad(root) == [("tulip", "the folder can't be read: Permission denied")]
    assert names(open_place(root)) == ["rose/1.png"]


# Names.


def test_names_that_are_no_utf_8_are_kept_as_they_are(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9/\xff.png")
    root = folder(tmp_path / "root", {name: b"1", "é/ü.png": b"2"})
    tar = packed(tmp_path, [(name, b"1"), ("é/ü.png", b"2")], "tar")
    for path in (root, tar):
        assert contents(open_place(path)) == {name: b"1", "é/ü.png": b"2"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../1.png", "a/../../1.png", "/etc/1.png", "..//1.png"])
def test_a_name_that_leads_out_is_not_used_nor_its_folders(tmp_path: Path, kind: str, name: str) -> None:
    path = packed(tmp_path, [("a/0.png", b"0"), (name, b"1"), (f"{name}.txt", b"")], kind)
    found = open_place(path).list()
    assert found.bad == [(name, "its name leads out of the archive")]
    assert found.folders == {"a"}
    assert contents(open_place(path)) == {"a/0.png": b"0"}


def test_a_name_with_backslashes_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, [("a\\0.png", b"0"), ("a/1.png", b"1")], "zip")
    reason = "its name has backslashes; pack it with slashes between folders"
    assert bad(path) == [("a\\0.png", reason)]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_of_two_files_with_one_name_neither_is_used(tmp_path: Path, kind: str) -> None:
    files = [("a/0.png", b"0"), ("a/1.png", b"1"), ("a/1.png", b"2"), ("./a/1.png", b"3")]
    path = packed(tmp_path, files, kind)
    assert bad(path) == [("a/1.png", "3 files in the archive have this name")]
    assert contents(open_place(path)) == {"a/0.png": b"0"}


# Members that are no plain files.


def test_links_and_devices_in_a_tar_are_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(f"a/{name}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("a/0.png")
        tar.addfile(member, io.BytesIO())
    reason = "it is a link or a device, not a file"
    assert bad(tmp_path / "a.tar") == [(f"a/{name}.png", reason) for name in "shd"]
    assert contents(open_place(tmp_path / "a.tar")) == {"a/0.png": b""}


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, [("a/0.png", b"0"), ("a/1.png", b"1")], "zip")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")  # the last member's place in the list; its flags follow
    content[at + 8] |= 1
    path.write_bytes(content)
    assert bad(path) == [("a/1.png", "it is encrypted")]
    assert contents(open_place(path)) == {"a/0.png": b"0"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_far_too_large_is_not_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "LARGEST", 2000)
    path = packed(tmp_path, [("a/0.png", b"0" * 2000), ("a/1.png", b"1" * 2001)], kind)
    assert bad(path) == [("a/1.png", "it has 2,001 bytes; a picture has at most 2,000")]
    assert names(open_place(path)) == ["a/0.png"]


# Damage.


def _many() -> list[tuple[str, bytes]]:
    """Files that fill several blocks and don't compress, so that a cut is within one of them."""
    random = os.urandom
    return [(f"{c}/{i}.png", random(700 + i)) for c in "ab" for i in range(8)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    """Also between two members, and within the head of one, where a tar's end is not noticed so easily."""
    files = _many()
    whole = packed(tmp_path, files, kind).read_bytes()
    # What follows the last file is zeros and checksums: nothing is lost with them.
    last = len(whole) if kind != "tar" else len(files) * (512 + 1024)
    for length in (*range(0, last - 200, 97), 512, 1024, 1536, 1537, 2048, 3072, 4096):
        path = tmp_path / "cut"
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            open_place(path).list()
        text = str(caught.value)
        assert text == f"{path} is neither a folder nor a .zip or .tar archive, or it is damaged." or (
            text.startswith(f"{path} is damaged (") and text.endswith("). Fetch or pack it again.")
        )


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_with_changed_bytes_is_read_or_refused_in_a_line(tmp_path: Path, kind: str) -> None:
    whole = packed(tmp_path, _many(), kind).read_bytes()
    path = tmp_path / "changed"
    for at in range(0, len(whole), max(1, len(whole) // 120)):
        content = bytearray(whole)
        content[at] ^= 0x55
        path.write_bytes(content)
        try:
            found = contents(open_place(path))
        except DataError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017  not every change is noticed
        else:
            assert kind in {"zip", "tar", "tar.gz"} or found == dict(_many())


def test_a_damaged_head_in_a_tar_does_not_end_it(tmp_path: Path) -> None:
    path = packed(tmp_path, _many(), "tar")
    content = bytearray(path.read_bytes())
    content[512 + 1024] ^= 1  # the second member's name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_place(path).list()
    assert str(caught.value) == f"{path} is damaged (bad checksum). Fetch or pack it again."


def test_damage_within_a_zip_s_file_is_told_of_that_file(tmp_path: Path) -> None:
    files = [("a/0.png", b"0" * 5000), ("a/1.png", bytes(range(256)) * 9)]
    for offset, wanted in ((30 + 7, "Error -3 while decompressing data"), (-1, "Bad CRC-32")):
        path = packed(tmp_path, files, "zip")
        content = bytearray(path.read_bytes())
        if offset > 0:
            content[offset] = 0xFF  # the first byte after the first member's head and name
        else:
            at = content.index(b"PK\x01\x02")
            content[at + 16] ^= 1  # the checksum in the list
        path.write_bytes(content)
        found = contents(open_place(path))
        assert str(found["a/0.png"]).startswith(wanted)
        assert found["a/1.png"] == files[1][1]


def test_an_archive_that_changes_between_listing_and_reading_is_told(tmp_path: Path) -> None:
    for kind in KINDS:
        path = packed(tmp_path, [("a/0.png", b"0"), ("a/1.png", b"1")], kind)
        place = open_place(path)
        listed = names(place)
        packed(tmp_path, [("a/0.png", b"0")], kind)
        with pytest.raises(DataError) as caught:
            list(place.read(listed))
        assert str(caught.value) == f"{path} was changed while it was read. Try again."
        path.write_bytes(b"no archive")
        with pytest.raises(DataError, match="is damaged"):
            list(place.read(listed))


def test_what_is_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        open_place(tmp_path / "gone")
    assert (
        str(missing.value)
        == f"There is no folder or archive {tmp_path / 'gone'}. Set data.path to one with images."
    )
    for name, content in (
        ("a.zip", b"PK\x03\x04 no more"),
        ("a.tar.gz", b"text"),
        ("a.tar", b""),
        ("a.png", b"\x89PNG"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            open_place(tmp_path / name)
        assert (
            str(caught.value)
            == f"{tmp_path / name} is neither a folder nor a .zip or .tar archive, or it is damaged."
        )
    with pytest.raises(DataError) as caught:
        open_place(tmp_path / ("a" * 300))
    assert str(caught.value) == f"{tmp_path / ('a' * 300)} can't be read: File name too long."

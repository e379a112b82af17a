"""Archives as an attacker, a broken line or another system makes them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest

from dlops.data import archives, files
from dlops.errors import DataError
from tests.data import ugly

CSV = b"text,label\na,b\n"


def read(folder, name, content):
    """Give the members' content by name, and what was wrong with the others."""
    path = ugly.written(folder, name, content)
    (file,) = files.find(str(path))
    problems, found = {}, {}

    def problem(name, reason):
        problems[name.removeprefix(f"{path}:")] = reason

    with path.open("rb") as raw:
        for member in archives.members(file, raw, problem):
            found[member.name.removeprefix(f"{path}:")] = member.stream.read()
    return found, {name.replace(str(path), name if name == str(path) else ""): why for name, why in problems.items()}


def header(name, kind=tarfile.REGTYPE, **attributes):
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def test_known_members_are_read_and_the_others_left_out(tmp_path):
    entries = [
        ("a/b.csv", CSV),
        ("read.me", b"x"),
        ("c.csv.gz", gzip.compress(CSV)),
        ("__MACOSX/._b.csv", b"\0\1"),
        (".d.csv", b""),
    ]
    expected = {"a/b.csv": CSV, "c.csv.gz": CSV}
    assert read(tmp_path, "a.tar", ugly.tarred(*entries)) == (expected, {})
    assert read(tmp_path, "a.zip", ugly.zipped(**dict(entries))) == (expected, {})
    assert read(tmp_path, "a.tgz", gzip.compress(ugly.tarred(*entries))) == (expected, {})


@pytest.mark.parametrize(
    "name", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "..\\x.csv", "C:\\x.csv", "\\\\host\\x.csv"]
)
def test_what_climbs_out_is_refused_by_name(tmp_path, name):
    for file, content in (
        ("a.tar", ugly.tarred((name, CSV), ("b.csv", CSV))),
        ("a.zip", ugly.zipped(**{name: CSV, "b.csv": CSV})),
    ):
        assert read(tmp_path, file, content) == ({"b.csv": CSV}, {name: "its name leads out of the archive's folder"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "a.zip"]


def test_links_and_devices_are_left_out(tmp_path):
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    entries = [(header(f"{place}.csv", kind, linkname="/etc/passwd"), b"") for place, kind in enumerate(kinds)]
    assert read(tmp_path, "a.tar", ugly.tarred(*entries, ("b.csv", CSV))) == ({"b.csv": CSV}, {})
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("b.csv", CSV)
    assert read(tmp_path, "a.zip", file.getvalue()) == ({"b.csv": CSV}, {})


@pytest.mark.parametrize("name", ["a.csv.gz", "a.zip", "a.tar.gz", "a.csv.zst", "a.tar.zst", "a.csv"])
def test_a_bomb_is_told_before_it_is_unpacked(tmp_path, monkeypatch, name):
    monkeypatch.setattr(archives, "ALLOWED", 1_000_000)
    monkeypatch.setattr(archives, "RATIO", 100)
    zeros = bytes(30_000_000)
    content = {
        "a.csv.gz": lambda: gzip.compress(zeros),
        "a.csv": lambda: gzip.compress(zeros),
        "a.zip": lambda: ugly.zipped(b__csv=zeros),
        "a.tar.gz": lambda: gzip.compress(ugly.tarred(("b.csv", zeros))),
        "a.csv.zst": lambda: ugly.zstd(zeros),
        "a.tar.zst": lambda: ugly.zstd(ugly.tarred(("b.csv", zeros))),
    }[name]()
    with pytest.raises(DataError, match=rf"{name} unpacks to more than 100 times its size") as caught:
        read(tmp_path, name, content)
    assert caught.value.hint


def test_many_members_are_a_bomb_together(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWED", 1_000_000)
    monkeypatch.setattr(archives, "RATIO", 100)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(tmp_path, "a.zip", ugly.zipped(**{f"{number}.csv": bytes(900_000) for number in range(20)}))


def test_the_bounds_are_the_ones_that_are_told():
    assert (archives.RATIO, archives.ALLOWED) == (1000, 100_000_000)


def test_an_encrypted_member(tmp_path):
    content = bytearray(ugly.zipped(b__csv=CSV))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(DataError, match=r"a\.zip:b\.csv is encrypted"):
        read(tmp_path, "a.zip", bytes(content))


def test_an_archive_in_an_archive(tmp_path):
    for name, content in (
        ("a.tar", ugly.tarred(("b.zip", b""), ("c.csv", CSV))),
        ("a.zip", ugly.zipped(b__zip=b"", c__csv=CSV)),
    ):
        found, problems = read(tmp_path, name, content)
        assert found == {"c.csv": CSV}
        assert problems["b.zip"].startswith("an archive in an archive")


def test_an_archive_of_nothing_known(tmp_path):
    for name, content in (("a.tar", ugly.tarred(("read.me", b""))), ("a.zip", ugly.zipped(read__me=b""))):
        assert list(read(tmp_path, name, content)[1].values()) == ["the archive holds no file of a known kind"]


def test_a_method_that_unpacks_without_bounds(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("b.csv", CSV)
    assert read(tmp_path, "a.zip", file.getvalue()) == ({}, {"b.csv": "it is packed by a method other than deflate"})


def test_a_sparse_member(tmp_path):
    info = header("b.csv", tarfile.GNUTYPE_SPARSE)
    found, problems = read(tmp_path, "a.tar", ugly.tarred((info, b""), ("c.csv", CSV)))
    assert found == {"c.csv": CSV}
    assert "b.csv" in problems


@pytest.mark.parametrize("place", [512 + 512 + 10, 512 + 512 + 512 + 512])
def test_a_tar_that_breaks_in_the_middle_is_not_taken_for_its_end(tmp_path, place):
    content = bytearray(ugly.tarred(("b.csv", CSV), ("c.csv", CSV)))
    del content[place:]
    found, problems = read(tmp_path, "a.tar", bytes(content))
    assert found["b.csv"] == CSV
    assert next(iter(problems.values())).endswith(("the archive is cut off", "truncated header"))
    content = bytearray(ugly.tarred(("b.csv", CSV), ("c.csv", CSV)))
    content[1024 + 3] ^= 1
    found, problems = read(tmp_path, "a.tar", bytes(content))
    assert found == {"b.csv": CSV}
    assert "damaged" in next(iter(problems.values()))


def test_a_header_that_wants_all_memory(tmp_path):
    entry = header("x", tarfile.XHDTYPE)
    content = bytearray(ugly.tarred((entry, b"")))
    entry.size = 50_000_000_000
    content[:512] = entry.tobuf(tarfile.GNU_FORMAT)
    assert "a header is broken" in next(iter(read(tmp_path, "a.tar", bytes(content))[1].values()))


def test_a_tar_of_many_members(tmp_path):
    found, problems = read(
        tmp_path, "a.tar.gz", gzip.compress(ugly.tarred(*[(f"{n}.csv", b"") for n in range(3000)]), 1)
    )
    assert (len(found), problems) == (3000, {})

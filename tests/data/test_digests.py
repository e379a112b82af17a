"""Content counts and not names; a large file is read again only where it may have changed."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from dlops.config import folders
from dlops.data import digests

LARGE = b"x" * 200_000


def kept():
    return sorted((folders.cache() / "digests").glob("*.json"))


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """A large file whose time stamp is taken for old."""
    monkeypatch.setattr(digests, "_SETTLED", -1.0)
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    return file


@pytest.mark.parametrize("content", [b"", b"a", LARGE])
def test_a_file_is_its_content(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    assert digests.of_file(tmp_path / "a") == digests.of_file(tmp_path / "b") == hashlib.sha256(content).hexdigest()


def test_a_large_file_is_read_once(settled):
    first = digests.of_file(settled)
    (place,) = kept()
    place.write_text(place.read_text().replace(first, "from the cache"))
    assert digests.of_file(settled) == "from the cache"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stamp": 1}', "null"])
def test_a_damaged_cache_is_no_cache(settled, text):
    first = digests.of_file(settled)
    (place,) = kept()
    place.write_text(text)
    assert digests.of_file(settled) == first
    assert first in kept()[0].read_text(), "and it is mended"


def test_a_change_of_the_same_size_with_its_old_time_put_back_is_noticed(settled):
    first, status = digests.of_file(settled), settled.stat()
    time.sleep(0.02)  # the clock of a file system ticks more coarsely than ours
    with settled.open("r+b") as file:
        file.write(b"y")
    os.utime(settled, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = settled.stat()
    assert (now.st_mtime_ns, now.st_size, now.st_ino) == (status.st_mtime_ns, status.st_size, status.st_ino)
    assert digests.of_file(settled) == hashlib.sha256(b"y" + LARGE[1:]).hexdigest() != first


def test_what_may_still_change_within_its_time_stamp_is_not_remembered(tmp_path):
    (tmp_path / "new").write_bytes(LARGE)
    digests.of_file(tmp_path / "new")
    assert kept() == []


def test_a_cache_that_may_not_be_written_is_done_without(settled):
    folders.cache().parent.mkdir(parents=True, exist_ok=True)
    folders.cache().write_text("no folder")
    assert digests.of_file(settled) == hashlib.sha256(LARGE).hexdigest()


def test_a_folder_is_all_its_files(tmp_path):
    for name in ("b", "a/c", ".hidden"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text(name)
    assert list(digests.of_folder(tmp_path / "f")) == [".hidden", "a/c", "b"]


def test_one_digest_of_several_minds_names_and_not_their_order():
    assert digests.of_all({"a": "1", "b": "2"}) == digests.of_all({"b": "2", "a": "1"})
    assert len({digests.of_all(held) for held in ({}, {"a": "1"}, {"b": "1"}, {"a": "2"}, {"a": "1", "b": "1"})}) == 5


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="none"):
        digests.of_file(tmp_path / "none")

"""What is kept in the cache; downloads from real servers stand in test_web.py and test_buckets.py."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from dlops.data import downloads
from dlops.data.downloads import Answer, TryAgainError
from dlops.errors import DataError
from dlops.worker import masking


class Fake:
    """Serves `content` under the state `s`, at most `step` bytes at a time."""

    uri, name = "fake://user:secret@host/a.csv", "a.csv"

    def __init__(self, content=b"0123456789" * 1000, step=None):
        self.content, self.step, self.asked = content, step, []

    @contextlib.contextmanager
    def ask(self, validator, offset):
        self.asked.append((validator, offset))
        if validator == "s" and not offset:
            yield Answer(unchanged=True)
            return
        end = offset + self.step if self.step else None
        yield Answer(offset=offset, size=len(self.content), validator="s", blocks=[self.content[offset:end]])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    return tmp_path / "cache" / "downloads"


def test_as_long_as_something_comes_it_goes_on():
    remote = Fake(step=700)
    assert downloads.fetch(remote).path.read_bytes() == remote.content
    assert [offset for _, offset in remote.asked] == list(range(0, 10_000, 700))


def test_where_nothing_comes_it_ends(home):
    remote = Fake(step=700)
    remote.content, real = remote.content[:2100], remote.content
    remote_ask = remote.ask

    @contextlib.contextmanager
    def ask(validator, offset):
        with remote_ask(validator, offset) as answer:
            yield Answer(offset=offset, size=len(real), validator="s", blocks=answer.blocks)

    remote.ask = ask
    with pytest.raises(DataError, match="2,100 of 10,000 bytes came"):
        downloads.fetch(remote)
    assert len(remote.asked) == 3 + downloads.TRIES


def test_more_than_was_announced_is_not_kept(home):
    remote = Fake()

    @contextlib.contextmanager
    def ask(validator, offset):
        yield Answer(size=5, validator="s", blocks=[b"more than five"])

    remote.ask = ask
    with pytest.raises(DataError, match="broke off"):
        downloads.fetch(remote)
    assert not list(home.rglob("part"))


def test_nothing_secret_is_written_down(home):
    assert downloads.fetch(Fake()).uri == "fake://***@host/a.csv"
    for file in home.rglob("*"):
        assert "secret" not in str(file.relative_to(home))
        assert file.is_dir() or b"secret" not in file.read_bytes()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"path": 5}', "null"])
def test_a_damaged_note_means_another_download(home, damage):
    remote = Fake()
    done = downloads.fetch(remote)
    (done.path.parents[1] / "about.json").write_text(damage)
    assert downloads.fetch(remote) == done
    assert remote.asked == [("", 0), ("", 0)]


def test_a_lost_file_means_another_download():
    done = downloads.fetch(Fake())
    done.path.unlink()
    assert downloads.fetch(Fake()).path.read_bytes() == Fake().content


def test_killed_before_the_note_was_written(home):
    done = downloads.fetch(Fake())
    about = done.path.parents[1] / "about.json"
    assert json.loads(about.read_text())["validator"] == "s"
    about.unlink()
    (done.path.parents[1] / "part").write_bytes(b"0123")
    assert downloads.fetch(Fake()).path.read_bytes() == Fake().content


def test_two_at_the_same_time_fetch_once():
    remote, done = Fake(), []
    threads = [threading.Thread(target=lambda: done.append(downloads.fetch(remote))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one == done[0] for one in done] == [True] * 4
    assert remote.asked == [("", 0), ("s", 0), ("s", 0), ("s", 0)]


def test_a_cache_that_cannot_be_written(home):
    home.parent.parent.joinpath("cache").write_text("a file")
    with pytest.raises(DataError, match="cannot be kept"):
        downloads.fetch(Fake())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:pw@host/a?x=1", "https://***@host/a?x=1"),
        ("https://host/a?X-Amz-Signature=abc&id=3", "https://host/a?X-Amz-Signature=***&id=3"),
        ("https://host/a?api_key=abc", "https://host/a?api_key=***"),
        ("https://host/a@b", "https://host/a@b"),
        ("s3://key:secret@b/a c", "s3://***@b/a c"),
    ],
)
def test_what_gives_access_is_masked(text, shown):
    assert masking.url(text) == shown
    assert str(TryAgainError(text)) == shown

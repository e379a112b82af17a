from __future__ import annotations

import gzip
import hashlib

import pytest

from dlops.data import downloads, web
from dlops.errors import DataError, UsageError
from tests.data import loopback

CONTENT = b"text,label\n" + b"".join(b"review %d,pos\n" % number for number in range(200_000))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    with loopback.running() as running:
        yield running


def fetch(server, path="/a.csv", user="", **options):
    return downloads.fetch(web.Page(server.uri(path, user)), **options)


def test_a_file_is_fetched_once_and_again_when_it_changed(server):
    server.answers = [loopback.file(CONTENT)]
    first = fetch(server)
    assert first.path.read_bytes() == CONTENT
    assert (first.path.name, first.size) == ("a.csv", len(CONTENT))
    assert first.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert fetch(server) == first
    assert server.requests[1]["If-None-Match"] == '"1"'
    server.answers = [loopback.file(b"text,label\n", etag='"2"')]
    assert fetch(server).path.read_bytes() == b"text,label\n"


def test_the_date_of_a_file_stands_in_for_its_etag(server):
    server.answers = [loopback.file(CONTENT, etag="", modified="Mon, 05 Jan 2026 10:00:00 GMT")]
    first = fetch(server)
    assert fetch(server) == first
    assert "If-Modified-Since" in server.requests[1]


def test_what_breaks_off_goes_on_where_it_broke_off(server):
    server.answers = [loopback.file(CONTENT, stop=1_500_000), loopback.file(CONTENT)]
    assert fetch(server).path.read_bytes() == CONTENT
    began = int(server.requests[1]["Range"][6:-1])
    assert 1_000_000 <= began <= 1_500_000
    assert server.requests[1]["If-Range"] == '"1"'


def test_a_later_run_goes_on_too(server):
    server.answers = [loopback.file(CONTENT, stop=1_500_000), loopback.code(503)]
    with pytest.raises(DataError, match="the server answers 503") as caught:
        fetch(server)
    assert "bytes are kept" in caught.value.hint
    server.answers, server.requests[:] = [loopback.file(CONTENT)], []
    assert fetch(server).path.read_bytes() == CONTENT
    assert "Range" in server.requests[0]


@pytest.mark.parametrize(
    "then",
    [
        loopback.file(CONTENT, ranges=False),
        loopback.file(CONTENT[::-1], etag='"2"'),
        loopback.code(416),
        loopback.code(206, CONTENT[-5:], Content_Range=f"bytes 9-13/{len(CONTENT)}", ETag='"1"'),
        loopback.code(206, CONTENT[-5:], Content_Range="bytes 1000000-1000004/1000005", ETag='"2"'),
        loopback.code(206, CONTENT[-5:]),
    ],
    ids=["ignores ranges", "changed", "nothing there", "another range", "range of another", "range untold"],
)
def test_no_file_is_patched_together_of_two(server, then):
    last = loopback.file(CONTENT[::-1], etag='"2"')
    server.answers = [loopback.file(CONTENT, stop=1_500_000), then, last]
    assert fetch(server).path.read_bytes() in (CONTENT, CONTENT[::-1])


def test_without_a_state_nothing_is_resumed(server):
    server.answers = [loopback.file(CONTENT, etag="", stop=1_500_000), loopback.file(CONTENT, etag="")]
    assert fetch(server).path.read_bytes() == CONTENT
    assert "Range" not in server.requests[1]


def test_a_length_that_is_never_reached_is_told(server):
    server.answers = [loopback.file(CONTENT, announced=len(CONTENT) + 1000, ranges=False)]
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(server)
    assert len(server.requests) <= downloads.TRIES + 1


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (401, 1), (500, downloads.TRIES + 0), (503, 5)])
def test_refusals_are_told_and_failures_tried_again(server, status, requests):
    server.answers = [loopback.code(status)]
    with pytest.raises(DataError, match=f"the server answers {status}") as caught:
        fetch(server)
    assert caught.value.hint
    assert len(server.requests) == requests


def test_a_failure_that_passes(server):
    server.answers = [loopback.code(500), loopback.code(429, Retry_After="0"), loopback.file(CONTENT)]
    assert fetch(server).size == len(CONTENT)


def test_a_checksum_is_compared_and_what_is_altered_goes(server, tmp_path):
    server.answers = [loopback.file(CONTENT)]
    right = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(DataError, match="is not the file"):
        fetch(server, sha256="0" * 64)
    assert not list((tmp_path / "home").rglob("a.csv"))
    assert fetch(server, sha256=right).sha256 == right
    server.answers, server.requests[:] = [loopback.code(500)], []
    assert fetch(server, sha256=right).sha256 == right
    assert not server.requests, "a file that has the checksum needs no server"


def test_a_cached_file_that_was_altered_is_not_believed(server):
    server.answers = [loopback.file(CONTENT)]
    done = fetch(server)
    done.path.write_bytes(CONTENT.upper())
    assert fetch(server, sha256=done.sha256).path.read_bytes() == CONTENT


def test_credentials_are_sent_and_never_shown(server):
    server.answers = [loopback.code(403)]
    with pytest.raises(DataError) as caught:
        fetch(server, "/a.csv?token=hidden&id=3", user="ann:hidden@")
    assert server.requests[0]["Authorization"].startswith("Basic ")
    assert "hidden" not in str(caught.value)
    assert "id=3" in str(caught.value)
    server.answers = [loopback.file(CONTENT)]
    assert "hidden" not in fetch(server, "/a.csv?token=hidden", user="ann:hidden@").uri


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_a_redirect_leads_to_no_other_scheme(server, place):
    server.answers = [loopback.code(302, b"", Location=place)]
    with pytest.raises(DataError, match="leads elsewhere"):
        fetch(server)


def test_a_redirect_is_followed_and_a_circle_is_not(server):
    server.answers = [loopback.code(302, b"", Location="/b.csv"), loopback.file(CONTENT)]
    assert fetch(server).size == len(CONTENT)
    server.answers = [loopback.code(302, b"", Location="/a.csv")]
    with pytest.raises(DataError, match="leads elsewhere"):
        fetch(server, "/c.csv")


def test_a_page_to_log_in_is_no_data(server):
    server.answers = [loopback.code(200, b"<html>", Content_Type="text/html; charset=utf-8")]
    with pytest.raises(DataError, match="is a web page"):
        fetch(server)


def test_the_name_that_the_server_tells(server):
    server.answers = [loopback.code(200, b"text,label\n", Content_Disposition='attachment; filename="../x y.csv"')]
    assert fetch(server, "/download?id=3").path.name == "x_y.csv"


def test_content_that_the_server_packs_anyway(server):
    server.answers = [loopback.code(200, gzip.compress(CONTENT), Content_Encoding="gzip", ETag='"1"')]
    assert fetch(server).path.read_bytes() == CONTENT


def test_nobody_answers(server):
    page = web.Page("http://127.0.0.1:9/a.csv")
    with pytest.raises(DataError, match="Connection refused"):
        downloads.fetch(page)


@pytest.mark.parametrize("uri", ["http://", "http://[broken/a.csv"])
def test_nonsense_is_told(uri):
    with pytest.raises(UsageError):
        web.Page(uri)

"""Champions: promoted if nothing changed meanwhile, approved, rolled back; of eight at once one wins."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dlops.errors import GateFailed, UsageError
from dlops.registry import aliases
from dlops.registry.aliases import CANDIDATE, CHAMPION, HISTORY, Person

ANN = Person("ann", known=False)


def test_a_champion_and_the_way_back(films):
    assert aliases.holder(films, "films") is None
    first = aliases.promote(films, "films", "1", instead_of=None, by=ANN)
    assert (first.before, first.changed) == (None, True)
    aliases.promote(films, "films", "3", instead_of="1", by=ANN)
    assert films.get_model_version_by_alias("films", CHAMPION).version in (3, "3")
    assert json.loads(films.get_registered_model("films").tags[HISTORY]) == ["1", "3"]
    again = aliases.promote(films, "films", "3", instead_of="1", by=ANN)
    assert not again.changed, "it is what was asked for"
    tags = films.get_model_version("films", "3").tags
    assert (tags["dlops_promoted_by"], tags["dlops_promoted_by_known"]) == ("ann", "stated")
    back = aliases.rollback(films, "films", by=ANN)
    assert (back.version, back.before) == ("1", "3")
    assert aliases.holder(films, "films") == "1"
    with pytest.raises(UsageError, match="no earlier champion"):
        aliases.rollback(films, "films", by=ANN)
    assert aliases.holder(films, "films") == "1"


@pytest.mark.parametrize("last", [False, True])
def test_a_move_that_was_killed_halfway_leaves_a_way_back(films, monkeypatch, last):
    for before, version in ((None, "2"), ("2", "1"), ("1", "2")):
        aliases.promote(films, "films", version, instead_of=before, by=ANN)
    writes = {False: "set_registered_model_alias", True: "set_registered_model_tag"}

    def killed(name, key, value=None):
        if last and key != HISTORY:
            return whole(name, key, value)
        raise KeyboardInterrupt

    whole = getattr(films, writes[last])
    monkeypatch.setattr(films, writes[last], killed)
    with pytest.raises(KeyboardInterrupt):
        aliases.rollback(films, "films", by=ANN)
    monkeypatch.setattr(films, writes[last], whole)
    expected = "2" if last else "1"
    assert aliases.holder(films, "films") == ("1" if last else "2")
    assert aliases.rollback(films, "films", by=ANN).version == expected


def test_a_version_that_was_deleted_meanwhile_is_passed_by(films):
    for before, version in ((None, "1"), ("1", "2"), ("2", "3")):
        aliases.promote(films, "films", version, instead_of=before, by=ANN)
    films.delete_model_version("films", "2")
    assert aliases.rollback(films, "films", by=ANN).version == "1"


def test_an_alias_that_others_moved_is_what_counts(films):
    aliases.promote(films, "films", "1", instead_of=None, by=ANN)
    aliases.promote(films, "films", "2", instead_of="1", by=ANN)
    films.set_registered_model_alias("films", CHAMPION, "3")
    assert aliases.rollback(films, "films", by=ANN).version == "2"


def test_another_champion_meanwhile_is_told(films):
    aliases.promote(films, "films", "1", instead_of=None, by=ANN)
    with pytest.raises(GateFailed, match="another champion meanwhile: version 1, not nobody"):
        aliases.promote(films, "films", "2", instead_of=None, by=ANN)
    assert aliases.holder(films, "films") == "1"


def test_an_approval_lets_the_promotion_through(films):
    films.set_model_version_tag("films", "2", aliases.APPROVAL, "required")
    with pytest.raises(GateFailed, match="waits for an approval"):
        aliases.promote(films, "films", "2", instead_of=None, by=ANN)
    assert aliases.approve(films, "films", "2", "looks fine", by=Person("bob", known=True)) is None
    tags = films.get_model_version("films", "2").tags
    assert tags["dlops_approved_by"] == "bob"
    assert tags["dlops_approved_by_known"] == "store"
    assert tags["dlops_approval_comment"] == "looks fine"
    assert aliases.promote(films, "films", "2", instead_of=None, by=ANN).changed
    with pytest.raises(UsageError, match="waits for no approval"):
        aliases.approve(films, "films", "1", "", by=ANN)


def test_a_promotion_that_waited_is_done_when_it_is_approved(films):
    for version, compared in (("2", aliases.NOBODY), ("3", "1")):
        films.set_model_version_tag("films", version, aliases.APPROVAL, "required")
        films.set_model_version_tag("films", version, aliases.PENDING, compared)
    moved = aliases.approve(films, "films", "2", "", by=ANN)
    assert (moved.version, aliases.holder(films, "films")) == ("2", "2")
    assert aliases.PENDING not in films.get_model_version("films", "2").tags
    with pytest.raises(GateFailed, match="another champion meanwhile: version 2, not 1"):
        aliases.approve(films, "films", "3", "", by=ANN)
    assert films.get_model_version("films", "3").tags[aliases.APPROVAL] == "approved"


PROMOTE = """
import sys
from mlflow import MlflowClient
from dlops.errors import GateFailed
from dlops.registry import aliases
client = MlflowClient(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(aliases.promote(client, "films", sys.argv[2], instead_of=None, by=aliases.person()).version)
except GateFailed as error:
    print(error)
"""


@pytest.mark.timeout(280)
def test_of_eight_promotions_at_once_one_wins_and_the_others_are_told(films, uri):
    for number in range(3, 8):
        films.create_model_version("films", source=f"s3://models/{number}")
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, uri, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(1, 9)
    ]
    for one in racing:
        assert one.stdout.readline() == "ready\n"
    for one in racing:
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate(timeout=200)[0].strip() for one in racing]
    winner = aliases.holder(films, "films")
    assert told.count(winner) == 1
    assert sum(f"another champion meanwhile: version {winner}" in text for text in told) == 7, told
    assert json.loads(films.get_registered_model("films").tags[HISTORY]) == [winner]


def test_a_candidate_is_the_last_one_nominated(films):
    assert aliases.nominate(films, "films", "1").changed
    assert aliases.nominate(films, "films", "2").before == "1"
    assert aliases.holder(films, "films", CANDIDATE) == "2"


@contextmanager
def a_server_that_knows(name, password):
    """Answer as MLflow's basic-auth app does for users who ask of themselves."""
    secret = base64.b64encode(f"{name}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            right = self.headers.get("Authorization") == f"Basic {secret}"
            self.send_response(200 if right and self.path.endswith(f"users/get?username={name}") else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"user": {"username": name}}).encode())

        def log_message(self, *_):
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_who_acts(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "carl")
    assert aliases.person("dora", uri="sqlite:///mlflow.db") == Person("dora", known=False), "a file knows nobody"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "right")
    with a_server_that_knows("carl", "right") as uri:
        assert aliases.person("dora", uri=uri) == Person("carl", known=True)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        assert aliases.person("dora", uri=uri) == Person("dora", known=False)
    assert aliases.person("dora", uri=uri) == Person("dora", known=False), "it does not answer"
    assert aliases.person().name

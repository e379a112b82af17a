"""A hub on the loopback: what the Hugging Face hub's own library asks for to read a dataset or a model."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.data.loopback import serving


@dataclass
class Repository:
    """A dataset or model: the files of each commit, and the branches and tags that name some."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    """Whether its files are kept from strangers, who may see what there is."""
    stops: dict[str, int] = field(default_factory=dict)
    """Bytes of a file after which the connection is broken off."""

    def commit(self, files, *references):
        """Add a commit; give its SHA."""
        sha = hashlib.sha1(b"\0".join(name.encode() + content for name, content in files.items())).hexdigest()
        self.commits[sha] = files
        self.references |= dict.fromkeys(("main", *references), sha)
        return sha


class Hub(ThreadingHTTPServer):
    """Serves `repositories` (datasets) and `models`, by OWNER/NAME; notes the path of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.models: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.broken = ""
        """What paths begin with that are answered by an error of the server."""

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(path)
        if self.server.broken and path.startswith(self.server.broken):
            self._answer(500, b"broken")
            return
        try:
            self._route(path)
        except LookupError as error:
            self._answer(404, b"", X_Error_Code=str(error.args[0]))

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _route(self, path):
        words = [urllib.parse.unquote(word) for word in path.strip("/").split("/")]
        words = words[words[0] == "api" :]
        if words[0] not in ("datasets", "models"):
            words = ["models", *words]  # a model's files lie below its name alone
        if len(words) < 3:
            raise LookupError("EntryNotFound")
        found = self.server.repositories if words[0] == "datasets" else self.server.models
        repository = found.get("/".join(words[1:3]))
        if not repository:
            raise LookupError("RepoNotFound")
        what, revision = (*words[3:5], "revision", "main")[:2] if len(words) > 4 else ("revision", "main")
        sha = repository.references.get(revision, revision)
        if sha not in repository.commits:
            raise LookupError("RevisionNotFound")
        files, place = repository.commits[sha], "/".join(words[5:])
        if what == "resolve" and repository.gated:
            self._answer(403, b"", X_Error_Code="GatedRepo")
        elif what == "resolve":
            self._file(sha, files, place, repository.stops.get(place))
        else:
            self._json(
                {"revision": self._about, "tree": self._tree, "paths-info": self._paths}[what](sha, files, place)
            )

    def _about(self, sha, files, place):
        return {"id": "of/all", "sha": sha, "siblings": [{"rfilename": name} for name in files]}

    def _tree(self, sha, files, place):
        inside = f"{place}/" if place else ""
        below = {name: content for name, content in files.items() if name.startswith(inside)}
        folders = {inside + name[len(inside) :].split("/")[0] for name in below if "/" in name[len(inside) :]}
        if not below:
            raise LookupError("EntryNotFound")
        if "recursive=true" in self.path.lower():
            folders = {name.rpartition("/")[0] for name in below if "/" in name[len(inside) :]}
        else:
            below = {name: content for name, content in below.items() if "/" not in name[len(inside) :]}
        return [_folder(name) for name in sorted(folders)] + [_file(*item) for item in below.items()]

    def _paths(self, sha, files, place):
        asked = urllib.parse.parse_qs(self.body.decode())["paths"]
        return [_file(name, files[name]) for name in asked if name in files]

    def _file(self, sha, files, place, stop):
        if place not in files:
            raise LookupError("EntryNotFound")
        content = files[place]
        known = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if not begin:
            self._answer(200, content, stop, **known)
            return
        last = min(int(end or len(content)), len(content) - 1)
        part = f"bytes {begin}-{last}/{len(content)}"
        self._answer(206, content[int(begin) : last + 1], stop, Content_Range=part, **known)

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def _answer(self, status, body, stop=None, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:stop])
            self.close_connection = stop is not None

    def log_message(self, *args):
        pass


def _oid(content):
    return hashlib.sha1(content).hexdigest()


def _file(name, content):
    return {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}


def _folder(name):
    return {"type": "directory", "path": name, "size": 0, "oid": _oid(name.encode())}


def running():
    return serving(Hub())

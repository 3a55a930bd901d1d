"""A Hub on loopback: it speaks the protocol by which huggingface_hub commits, keeps what arrives, and can fail.

Small files arrive in the commit itself, large ones by Git LFS ("basic" transfer, one PUT each). What is committed can
be read back over HTTP, as `from_pretrained` does it. Set HF_HUB_DISABLE_XET=1 for the client: with hf_xet installed
it never asks for anything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.publishing.hub.hub_state import LARGE_BYTES, TOKEN, USER, Fault, Hub, Repository, commit_hash


class Answer(Exception):
    """Ends a request."""

    def __init__(self, status: int, body: object = None, **headers: str) -> None:
        self.status, self.body, self.headers = status, body, headers


def refuse(status: int, message: str, code: str | None = None) -> Answer:
    """An error as the Hub words it."""
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, **headers)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test asks the hub."""

    def do_GET(self) -> None:
        """Reads."""
        self._handle()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  (http.server's naming)

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        path = unquote(parts.path)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        fault = self.hub.fault_for(request)
        length = int(self.headers.get("Content-Length", 0))
        if fault and not fault.done_first:
            self.rfile.read(min(length, fault.after_bytes))
            if fault.wait:
                fault.wait.wait(60)
            return self._fail(fault)
        self.body = self._whole_body(length)
        if self.body is None:
            return self._cut()  # the client went away in the middle
        try:
            self._route(path)
        except Answer as answer:
            if fault:
                return self._fail(fault)
            self._send(answer)

    def _whole_body(self, length: int) -> bytes | None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline() or b"0", 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _fail(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.status is None:
            return self._cut()
        self._send(Answer(fault.status, {"error": fault.message}, **fault.headers))

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, answer: Answer) -> None:
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        kind = "application/octet-stream" if isinstance(answer.body, bytes) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, path: str) -> None:
        """Finds who answers; always ends in an Answer."""
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self._receive_large(match[1])  # signed addresses need no token
        match = re.fullmatch(r"/(?:spaces/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path)
        if match:
            self._give("space" if path.startswith("/spaces/") else "model", match[1], match[2], match[3])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise refuse(401, "Invalid credentials in Authorization header")
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                answer(self, *match.groups())
        raise refuse(404, f"no such route: {path}")

    def _json(self) -> Any:
        return json.loads(self.body or b"null")

    def _repository(self, kind: str, repo_id: str) -> Repository:
        found = self.hub.repositories.get((kind, repo_id))
        if found is None:
            raise refuse(404, "Repository not found", "RepoNotFound")
        return found

    def _may_write(self, repo_id: str) -> None:
        owner = repo_id.partition("/")[0]
        if owner not in self.hub.writable:
            raise refuse(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')

    def whoami(self) -> None:
        """Whose the token is."""
        raise Answer(200, {"type": "user", "name": USER, "orgs": [{"name": "friends"}]})

    def create(self) -> None:
        """A repository, or 409."""
        asked = self._json()
        kind, repo_id = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
        self._may_write(repo_id)
        body = {"url": f"{self.hub.endpoint}/{'spaces/' if kind == 'space' else ''}{repo_id}"}
        if (kind, repo_id) in self.hub.repositories:
            raise Answer(409, body | {"error": "You already created this model repo"})
        self.hub.repositories[kind, repo_id] = Repository(private=asked.get("visibility") == "private")
        raise Answer(200, body)

    def check_card(self) -> None:
        """Takes every card that is not empty."""
        raise Answer(200 if self._json()["content"] else 400, {"errors": [], "warnings": []})

    def info(self, kind: str, repo_id: str) -> None:
        """What a repository is."""
        repository = self._repository(kind, repo_id)
        files = [{"rfilename": name} for name in repository.head]
        raise Answer(200, {"id": repo_id, "sha": repository.sha, "private": repository.private, "siblings": files})

    def modes(self, kind: str, repo_id: str) -> None:
        """Which files are large, and the hashes of those that are there."""
        repository = self._repository(kind, repo_id)
        answers = []
        for file in self._json()["files"]:
            large = file["path"].endswith(".safetensors") or file["size"] >= LARGE_BYTES
            mode = "lfs" if large else "regular"
            answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if (there := repository.head.get(file["path"])) is not None:
                answer["oid"] = hashlib.sha256(there).hexdigest() if large else _git_hash(there)
            answers.append(answer)
        raise Answer(200, {"files": answers})

    def batch(self, _kind: str | None, _repo_id: str) -> None:
        """Where to put each large file that is not there."""
        objects = []
        for wanted in self._json()["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                target = f"{self.hub.endpoint}/lfs/{wanted['oid']}?X-Amz-Signature=signed"
                verify = {"href": f"{self.hub.endpoint}/verify"}
                answer["actions"] = {"upload": {"href": target}, "verify": verify}
            objects.append(answer)
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def _receive_large(self, oid: str) -> None:
        assert self.body is not None
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise refuse(400, "the content does not have this hash")
        with self.hub.lock:
            self.hub.large[oid] = self.body
            self.hub.received.append(oid)
        raise Answer(200, b"")

    def verify(self) -> None:
        """Whether a large file is there."""
        asked = self._json()
        if len(self.hub.large.get(asked["oid"], b"")) != asked["size"]:
            raise refuse(404, "not uploaded")
        raise Answer(200, {})

    def commit(self, kind: str, repo_id: str) -> None:
        """All files or none."""
        proposed = "create_pr" in self.query
        if not proposed:
            self._may_write(repo_id)
        repository = self._repository(kind, repo_id)
        assert self.body is not None
        lines = [json.loads(line) for line in self.body.splitlines()]
        files = dict(repository.head)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            else:
                raise refuse(400, f"unknown operation {line['key']}")
        url = f"{self.hub.endpoint}/{'spaces/' if kind == 'space' else ''}{repo_id}"
        if proposed:
            repository.proposals.append(files)
            number = len(repository.proposals)
            oid = commit_hash(1000 + number)
            raise Answer(200, {"commitUrl": f"{url}/commit/{oid}", "commitOid": oid,
                               "pullRequestUrl": f"{url}/discussions/{number}"})  # fmt: skip
        repository.commits.append(files)
        repository.messages.append(lines[0]["value"]["summary"])
        raise Answer(200, {"commitUrl": f"{url}/commit/{repository.sha}", "commitOid": repository.sha})

    def refs(self, kind: str, repo_id: str) -> None:
        """Branches and tags."""
        repository = self._repository(kind, repo_id)
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in repository.tags.items()
        ]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.sha}
        raise Answer(200, {"branches": [main], "converts": [], "tags": tags})

    def tag(self, kind: str, repo_id: str, revision: str) -> None:
        """Sets a tag, or 409."""
        repository, name = self._repository(kind, repo_id), self._json()["tag"]
        if name in repository.tags:
            raise refuse(409, "Tag reference exists already")
        repository.tags[name] = repository.sha if revision == "main" else revision
        raise Answer(200, {})

    def _give(self, kind: str, repo_id: str, revision: str, name: str) -> None:
        repository = self._repository(kind, repo_id)
        if repository.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise refuse(404, "Repository not found", "RepoNotFound")
        content = repository.head.get(name)
        commit = {"X-Repo-Commit": repository.sha}
        if content is None:
            raise Answer(404, {"error": "Entry not found"}, **{"X-Error-Code": "EntryNotFound"}, **commit)
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        raise Answer(200, content, ETag=etag, **commit)


_WHERE = r"([\w.-]+/[\w.-]+)"
_KIND = r"(model|space)s"
_ROUTES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.check_card),
    (rf"GET /api/{_KIND}/{_WHERE}", Handler.info),
    (rf"GET /api/{_KIND}/{_WHERE}/revision/main", Handler.info),
    (rf"POST /api/{_KIND}/{_WHERE}/preupload/main", Handler.modes),
    (rf"POST /(spaces/)?{_WHERE}\.git/info/lfs/objects/batch", Handler.batch),
    (r"POST /verify", Handler.verify),
    (rf"POST /api/{_KIND}/{_WHERE}/commit/main", Handler.commit),
    (rf"GET /api/{_KIND}/{_WHERE}/refs", Handler.refs),
    (rf"POST /api/{_KIND}/{_WHERE}/tag/(.+)", Handler.tag),
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that are killed are part of the tests."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers at `hub.endpoint` while the block runs."""
    hub = Hub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

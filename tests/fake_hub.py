"""A Hugging Face Hub on loopback: the calls that huggingface_hub makes to show, download, create and commit."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub.constants
import yaml
from huggingface_hub.utils import close_session


@dataclass
class FakeHub:
    """Its repositories, and what it was asked."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)  # of files, where it lies
    tags: tuple[str, ...] = ("main",)
    hangs: threading.Event | None = None  # it does not answer before this
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def refused(self, body: bytes) -> list[str]:
        """Return the data sets of a card that are no names of data sets."""
        card = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
        return [name for name in card.get("datasets", []) if not re.fullmatch(r"([\w.-]+/)?[\w.-]+", name, re.ASCII)]

    def commit(self, repo: str) -> str:
        return hashlib.sha1(repr(sorted(self.repos[repo].items())).encode()).hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            parts = urlsplit(self.path).path.strip("/").split("/")
            hub.asked.append(f"{self.command} {self.path}")
            if hub.hangs is not None:
                hub.hangs.wait(30)
            api = parts[:2] == ["api", "models"]
            repo, rest = "/".join(parts[2:4] if api else parts[:2]), parts[4:] if api else parts[2:]
            if repo not in hub.repos or (repo in hub.private and "authorization" not in self.headers):
                self.answer(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return
            files, commit = hub.repos[repo], hub.commit(repo)
            if rest and rest[1] not in (*hub.tags, commit):
                self.answer(404, {"error": "Revision Not Found"}, {"X-Error-Code": "RevisionNotFound"})
            elif api and rest[:1] == ["tree"]:
                self.answer(200, [{"type": "file", "path": name, **self.facts(repo, name)} for name in files])
            elif api:
                siblings = [{"rfilename": name, **self.facts(repo, name)} for name in files]
                self.answer(200, {"id": repo, "sha": commit, "siblings": siblings, "private": False, "tags": []})
            else:
                name = "/".join(rest[2:])
                headers = {"ETag": f'"{self.facts(repo, name)["oid"]}"', "X-Repo-Commit": commit}
                self.answer(200, files[name], headers)

        do_HEAD = do_GET  # noqa: N815

        def facts(self, repo: str, name: str) -> dict[str, Any]:
            content = hub.repos[repo][name]
            oid = hashlib.sha1(content).hexdigest()
            return {"size": hub.sizes.get(name, len(content)), "oid": oid, "blobId": oid}

        def do_POST(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            path = urlsplit(self.path).path
            if path == "/api/validate-yaml":
                problems = [
                    {"message": f'"datasets[0]" with value {name!r} is not valid'} for name in hub.refused(body)
                ]
                self.answer(400 if problems else 200, {"warnings": [], "errors": problems})
            elif "authorization" not in self.headers:
                self.answer(401, {"error": "Invalid username or password."})
            elif path == "/api/repos/create":
                wanted = json.loads(body)
                repo = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
                hub.repos.setdefault(repo, {})
                self.answer(200, {"url": f"{hub.url}/{repo}", "name": repo})
            elif "/preupload/" in path:
                files = json.loads(body)["files"]
                modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
                self.answer(200, {"files": modes})
            elif "/commit/" in path:
                repo = "/".join(path.split("/")[3:5])
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                commit = hub.commit(repo)
                url = f"{hub.url}/{repo}/commit/{commit}"
                self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})
            else:
                self.answer(404, {"error": "unknown"})

    return Handler


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)  # seconds between looks
    thread.start()
    try:
        yield hub
    finally:
        if hub.hangs is not None:
            hub.hangs.set()
        server.shutdown()
        server.server_close()


def point_to(hub: FakeHub, cache: str, monkeypatch: Any) -> None:
    """Have this process use the fake Hub, as the environment of ``variables`` does for another process."""
    constants = huggingface_hub.constants
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    values = {"ENDPOINT": hub.url, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_CACHE": cache}
    for name, value in {**values, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    close_session()


def variables(hub: FakeHub, cache: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": cache, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_test"}

"""A small stand-in for the Hugging Face Hub: what the real client needs to download.

Files ending in .safetensors are served as on the Hub, by a redirect to another port: the client
follows a redirect to the same origin itself and then misses the headers of the first answer.
"""

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]


class HubServer:
    """Repositories in memory, behind `url`; a context manager. Data sets are "datasets/owner/name".

    `down` answers every request with 503; `private` and `gated` are names of repositories that
    refuse strangers; `requests` remembers "METHOD path" of every request.
    """

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}  # repo -> commit -> path -> bytes
        self.refs: dict[str, dict[str, str]] = {}  # repo -> branch or tag -> commit
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.down = False
        self.requests: list[str] = []
        self.leaked: list[str] = []  # tokens that arrived at the file server
        handlers = {"hub": HubHandler, "files": FileHandler}
        self.servers = {
            name: ThreadingHTTPServer(("127.0.0.1", 0), type(name, (handler,), {"hub": self}))
            for name, handler in handlers.items()
        }
        self.url, self.files_url = (
            f"http://127.0.0.1:{server.server_port}" for server in self.servers.values()
        )

    def __enter__(self):
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        for server in self.servers.values():
            server.shutdown()
            server.server_close()

    def ask(self, script: str, questions, home: Path, **environment) -> str:
        """What `script` prints in a new process whose Hub this is and whose cache is in `home`.

        `questions` come to it as JSON on its standard input.
        """
        settings = {
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        command = [sys.executable, "-c", script]
        run = subprocess.run(
            command, input=json.dumps(questions), env=settings, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def put(self, repo: str, files: dict[str, bytes], ref: str = "main") -> str:
        """A new commit that holds exactly these files; returns its 40 hex digits."""
        content = json.dumps({path: sha256(data) for path, data in files.items()})
        commit = hashlib.sha1(f"{repo} {content}".encode()).hexdigest()
        self.repos.setdefault(repo, {})[commit] = dict(files)
        self.refs.setdefault(repo, {})[ref] = commit
        return commit

    def commit_of(self, repo: str, revision: str) -> str | None:
        revision = self.refs[repo].get(revision, revision)
        return revision if revision in self.repos[repo] else None


class HubHandler(BaseHTTPRequestHandler):
    """The Hub's own port: questions about repositories, and the way to their files."""

    hub: HubServer

    def do_GET(self):
        self.hub.requests.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        if self.hub.down:
            self.answer(503, b"out of order")
        elif path == "/api/models":
            self.list_models(dict(parse_qsl(urlsplit(self.path).query)))
        elif path.startswith("/api/models/"):
            self.describe(path.removeprefix("/api/models/").split("/"))
        elif path.startswith("/api/datasets/"):
            _, _, _, *parts = path.split("/")
            self.describe([f"datasets/{parts[0]}", *parts[1:]])
        elif "/resolve/" in path:
            repo, _, rest = path.strip("/").partition("/resolve/")
            self.resolve(repo, *rest.split("/", 1))
        else:
            self.refuse(404, "EntryNotFound")

    do_HEAD = do_POST = do_GET

    def list_models(self, asked):
        """The repositories of `author` whose card has the tag `filter`, the newest commit of each.

        Private ones are not told of.
        """
        rows = []
        for repo, refs in self.hub.refs.items():
            files = self.hub.repos[repo][refs["main"]]
            tagged = f"- {asked['filter']}\n" in files.get("README.md", b"").decode()
            if repo.startswith(f"{asked['author']}/") and tagged and repo not in self.hub.private:
                rows.append({"id": repo, "sha": refs["main"]})
        self.answer(200, json.dumps(rows[: int(asked["limit"])]).encode())

    def describe(self, parts):
        owner, name, action, *rest = [*parts, ""] if len(parts) == 2 else parts
        below = "".join(f"{part}/" for part in rest[1:]) if action == "tree" else ""
        repo, revision = f"{owner}/{name}", rest[0] if action == "tree" else "/".join(rest)
        commit = self.allowed(repo, revision or "main", listing=action != "tree")
        if commit is None:
            return
        files = self.hub.repos[repo][commit]
        if action == "tree":
            inside = [name for name in files if name.startswith(below)]
            if not inside and below:
                return self.refuse(404, "EntryNotFound")
            entries = [self.entry(name, files[name]) for name in inside]
            if "recursive=false" in self.path.lower():
                entries = [e for e in entries if "/" not in e["path"].removeprefix(below)]
                folders = {n[len(below) :].partition("/") for n in inside}
                entries += [self.folder(below + name) for name, slash, _ in folders if slash]
            self.answer(200, json.dumps(entries).encode())
        elif action == "paths-info":
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["paths"]
            entries = [self.entry(name, files[name]) for name in asked if name in files]
            folders = [name for name in asked if any(f.startswith(f"{name}/") for f in files)]
            entries += [self.folder(name) for name in folders]
            self.answer(200, json.dumps(entries).encode())
        else:
            siblings = [{"rfilename": name} for name in files]
            about = {"id": repo, "sha": commit, "siblings": siblings, "private": False}
            self.answer(200, json.dumps(about).encode())

    def entry(self, name, data):
        about = {"type": "file", "path": name, "size": len(data), "oid": git_sha1(data)}
        if name.endswith(".safetensors"):
            about["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        return about

    def folder(self, path):
        return {"type": "directory", "path": path, "oid": git_sha1(path.encode())}

    def resolve(self, repo, revision, name):
        commit = self.allowed(repo, revision)
        if commit is None:
            return
        data = self.hub.repos[repo][commit].get(name)
        if data is None:
            self.refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        elif name.endswith(".safetensors"):
            headers = {
                "X-Linked-Etag": f'"{sha256(data)}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"{self.hub.files_url}/{sha256(data)}",
            }
            self.answer(302, b"", {"X-Repo-Commit": commit, "ETag": '"pointer"', **headers})
        else:
            headers = {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(data)}"'}
            start, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            part = data[int(start) : int(end) + 1 if end else None] if start else data
            self.answer(206 if start else 200, part, headers)

    def allowed(self, repo, revision, listing=False):
        """The commit, or None after a refusal. A gated repository may be looked at, not read."""
        if repo in self.hub.private or repo not in self.hub.repos:
            return self.refuse(401, "RepoNotFound")
        if repo in self.hub.gated and not listing:
            return self.refuse(403, "GatedRepo")
        commit = self.hub.commit_of(repo, revision)
        return commit or self.refuse(404, "RevisionNotFound")

    def refuse(self, status, code, headers=None):
        message = {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})}
        self.answer(status, b"{}", message)

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


class FileHandler(HubHandler):
    """The other port, which has the large files by their sha256."""

    def do_GET(self):
        self.hub.requests.append(f"{self.command} file")
        if "Authorization" in self.headers:
            self.hub.leaked.append(self.headers["Authorization"])
        commits = (files for repo in self.hub.repos.values() for files in repo.values())
        blobs = {sha256(data): data for files in commits for data in files.values()}
        data = blobs.get(self.path.strip("/"))
        self.answer(404 if data is None else 200, data or b"", {"ETag": f'"{self.path[1:]}"'})

    do_HEAD = do_GET


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

"""A small stand-in for the Hugging Face Hub: what the real client needs to download and to publish.

Files ending in .safetensors are served as on the Hub, by a redirect to another port: the client
follows a redirect to the same origin itself and then misses the headers of the first answer. They
are uploaded there too.
"""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_writing import Writing, git_sha1, sha256

ROOT = Path(__file__).resolve().parents[1]
WRITER = "hf_writer"  # a token that may write
FAULTS = {
    "503": "answers that it is out of order",
    "cut": "hangs up before anything is done",
    "lost": "does it, and hangs up in the middle of the answer",
}


# Of a client that answers questions: the last part of its script.
LOOP = """
import json as j, sys as s, time as t
sleep = t.sleep
t.sleep = lambda seconds: sleep(min(seconds, 0.01))
for line in s.stdin:
    print(j.dumps(answer(j.loads(line))), flush=True)
"""


class HubServer:
    """Repositories in memory, behind `url`; a context manager.

    Data sets are "datasets/owner/name", Spaces "spaces/owner/name". `down` answers every request
    with 503; `private` and `gated` are names of repositories that refuse strangers; `requests`
    remembers "METHOD path" of every request. `writers` are tokens and the owners they write for.
    """

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}  # repo -> commit -> path -> bytes
        self.refs: dict[str, dict[str, str]] = {}  # repo -> branch or tag -> commit
        self.messages: dict[str, str] = {}  # commit -> its message
        self.blobs: dict[str, bytes] = {}  # sha256 -> uploaded large file
        self.writers: dict[str, tuple[str, ...]] = {WRITER: ("owner", "team")}
        self.roles: dict[str, str] = {}  # token -> "read" or "write", the default
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.down = False
        self.requests: list[str] = []
        self.leaked: list[str] = []  # tokens that arrived at the file server
        # Called with the repository's name, once; a status that it returns is all that happens.
        self.before_commit: Callable[[str], int | None] | None = None
        self.lock = threading.Lock()
        self.fault: tuple[int, str, bool] = (0, "", False)
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

    def fail_at(self, n: int, how: str, for_good: bool = False) -> None:
        """The n-th request from now on fails, on either port; all after it too if `for_good`.

        `how` is one of `FAULTS`; n = 0 mends everything.
        """
        assert how in FAULTS or n == 0
        with self.lock:
            self.fault = (n, how, for_good)

    def next_fault(self) -> str:
        """How the request that has just come is to fail, or ""."""
        with self.lock:
            n, how, for_good = self.fault
            self.fault = (n - 1, how, for_good)
            return how if n == 1 or (for_good and n < 1 and how) else ""

    def environment(self, home: Path, **more) -> dict[str, str]:
        """What a process needs whose Hub this is and whose cache is in `home`."""
        return {
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def ask(self, script: str, questions, home: Path, **environment) -> str:
        """What `script` prints in a new process whose Hub this is and whose cache is in `home`.

        `questions` come to it as JSON on its standard input.
        """
        settings = self.environment(home, **environment)
        command = [sys.executable, "-c", script]
        run = subprocess.run(
            command, input=json.dumps(questions), env=settings, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    @contextmanager
    def client(self, script: str, home: Path, **environment):
        """A process that is asked one question after the other: `ask(question)` is its answer.

        `script` defines `answer(question)`; both are JSON. Nobody sleeps for long there.
        """
        settings = self.environment(home, **environment)
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        command = [sys.executable, "-c", script + LOOP]
        process = subprocess.Popen(command, env=settings, text=True, **pipes)
        told = []
        reader = threading.Thread(target=lambda: told.extend(process.stderr), daemon=True)
        reader.start()

        def ask(question):
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                reader.join()
                raise AssertionError("".join(told))
            return json.loads(line)

        try:
            yield ask
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def put(self, repo: str, files: dict[str, bytes], ref: str = "main") -> str:
        """A new commit that holds exactly these files; returns its 40 hex digits."""
        content = json.dumps({path: sha256(data) for path, data in files.items()})
        parent = self.refs.setdefault(repo, {}).get(ref, "")
        commit = hashlib.sha1(f"{repo} {parent} {content}".encode()).hexdigest()
        self.repos.setdefault(repo, {})[commit] = dict(files)
        self.refs[repo][ref] = commit
        return commit

    def head(self, repo: str) -> dict[str, bytes]:
        """The files of a repository's newest commit."""
        return self.repos[repo][self.refs[repo]["main"]]

    def commit_of(self, repo: str, revision: str) -> str | None:
        revision = self.refs[repo].get(revision, revision)
        return revision if revision in self.repos[repo] else None


class Handler(BaseHTTPRequestHandler):
    """What both ports have in common: a request is read, counted, and may fail."""

    hub: HubServer

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"{self.command} {self.shown()}")
        self.fault = "503" if self.hub.down else self.hub.next_fault()
        if self.fault == "503":
            self.answer(503, b"out of order")
        elif self.fault == "cut":
            self.hang_up()
        else:
            self.route()

    do_HEAD = do_POST = do_PUT = do_GET

    def refuse(self, status, code, headers=None):
        message = {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})}
        self.answer(status, b"{}", message)

    def tell(self, about, status=200):
        self.answer(status, json.dumps(about).encode())

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        if self.fault == "lost":
            body = body[: len(body) // 2]
            if self.command == "HEAD" or not body:  # nothing to tear but the headers themselves
                return self.hang_up()
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args):
        pass


class HubHandler(Handler, Writing):
    """The Hub's own port: questions about repositories, the way to their files, and commits."""

    def shown(self):
        return self.path

    def route(self):
        path = unquote(urlsplit(self.path).path)
        top, kind, *parts = [*path.strip("/").split("/"), "", ""]
        parts = parts[:-2]
        if path == "/api/whoami-v2":
            self.who()
        elif path == "/api/validate-yaml":
            self.validate()
        elif path == "/api/repos/create":
            self.create()
        elif top == "api" and kind in ("models", "datasets", "spaces"):
            prefix = "" if kind == "models" else f"{kind}/"
            repo, action = prefix + "/".join(parts[:2]), "/".join(parts[2:3])
            if action in ("preupload", "commit"):
                if self.may_write(repo):
                    getattr(self, action)(repo)
            else:
                self.describe(repo, *parts[2:])
        elif path.endswith(".git/info/lfs/objects/batch"):
            if self.may_write(repo := path.strip("/").partition(".git/")[0]):
                self.batch(repo)
        elif path == "/verify":
            self.verify()
        elif "/resolve/" in path:
            repo, _, rest = path.strip("/").partition("/resolve/")
            self.resolve(repo, *rest.split("/", 1))
        else:
            self.refuse(404, "EntryNotFound")

    # Reading ----------------------------------------------------------------------------------

    def describe(self, repo, action="", *rest):
        below = "".join(f"{part}/" for part in rest[1:]) if action == "tree" else ""
        revision = rest[0] if action == "tree" else "/".join(rest)
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
            self.tell(entries)
        elif action == "paths-info":
            asked = json.loads(self.body)["paths"]
            entries = [self.entry(name, files[name]) for name in asked if name in files]
            folders = [name for name in asked if any(f.startswith(f"{name}/") for f in files)]
            entries += [self.folder(name) for name in folders]
            self.tell(entries)
        else:
            siblings = [{"rfilename": name} for name in files]
            if "blobs" in parse_qs(urlsplit(self.path).query):
                for sibling in siblings:
                    entry = self.entry(sibling["rfilename"], files[sibling["rfilename"]])
                    sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                    if "lfs" in entry:
                        sibling["lfs"] = {**entry["lfs"], "sha256": entry["lfs"]["oid"]}
            private = repo in self.hub.private
            about = {"id": "/".join(repo.split("/")[-2:]), "sha": commit}
            self.tell({**about, "siblings": siblings, "private": private})

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
        hidden = repo in self.hub.private and repo.split("/")[-2] not in self.owners()
        if hidden or repo not in self.hub.repos:
            return self.refuse(401, "RepoNotFound")
        if repo in self.hub.gated and not listing:
            return self.refuse(403, "GatedRepo")
        commit = self.hub.commit_of(repo, revision)
        return commit or self.refuse(404, "RevisionNotFound")


class FileHandler(Handler):
    """The other port, which has the large files by their sha256."""

    def shown(self):
        return "file"

    def route(self):
        if "Authorization" in self.headers:
            self.hub.leaked.append(self.headers["Authorization"])
        name = self.path.strip("/")
        if self.command == "PUT":
            whole = sha256(self.body) == name
            if whole:
                self.hub.blobs[name] = self.body
            return self.answer(200 if whole else 400, b"")
        commits = (files for repo in self.hub.repos.values() for files in repo.values())
        blobs = {sha256(data): data for files in commits for data in files.values()}
        data = blobs.get(name)
        self.answer(404 if data is None else 200, data or b"", {"ETag": f'"{name}"'})

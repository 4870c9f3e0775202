"""The half of the stand-in for the Hub that takes what is published: one commit, or nothing."""

import base64
import hashlib
import json

import yaml


class Writing:
    """Answers of `hub_server.HubHandler` to what a user with a token asks."""

    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def owners(self) -> tuple[str, ...]:
        return self.hub.writers.get(self.token(), ())

    def may_write(self, repo) -> bool:
        """Whether the token may; if not, after a refusal."""
        owner = repo.split("/")[-2]
        if not self.owners():
            wrong = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self.answer(401, b"{}", wrong)
        elif owner not in self.owners() or self.hub.roles.get(self.token()) == "read":
            self.refuse(403, "Forbidden")
        elif repo not in self.hub.repos and not self.path.startswith("/api/repos/"):
            self.refuse(404, "RepoNotFound")
        else:
            return True
        return False

    def who(self):
        if not (owners := self.owners()):
            return self.answer(401, b"{}")
        role = self.hub.roles.get(self.token(), "write")
        about = {"type": "user", "name": owners[0], "auth": {"accessToken": {"role": role}}}
        self.tell({**about, "orgs": [{"name": name} for name in owners[1:]]})

    def validate(self):
        content = json.loads(self.body)["content"]
        errors = []
        if content.startswith("---\n"):
            try:
                yaml.safe_load(content.split("---\n")[1])
            except yaml.YAMLError as error:
                errors = [{"message": str(error)}]
        self.tell({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self):
        asked = json.loads(self.body)
        kind = asked.get("type") or "model"
        prefix = "" if kind == "model" else f"{kind}s/"
        repo = f"{prefix}{asked['organization'] or (*self.owners(), '')[0]}/{asked['name']}"
        if not self.may_write(repo):
            return
        there = repo in self.hub.repos
        if not there:
            self.hub.put(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
            if asked.get("visibility") == "private":
                self.hub.private.add(repo)
        self.tell({"url": f"{self.hub.url}/{repo}"}, 409 if there else 200)

    def preupload(self, repo):
        head = self.hub.head(repo)
        answers = []
        for file in json.loads(self.body)["files"]:
            large = file["path"].endswith(".safetensors")
            about = {"path": file["path"], "uploadMode": "lfs" if large else "regular"}
            if file["path"] in head:
                data = head[file["path"]]
                about["oid"] = sha256(data) if large else git_sha1(data)
            answers.append({**about, "shouldIgnore": False})
        self.tell({"files": answers})

    def batch(self, repo):
        objects = []
        for asked in json.loads(self.body)["objects"]:
            about = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.blobs:
                about["actions"] = {
                    "upload": {"href": f"{self.hub.files_url}/{asked['oid']}"},
                    "verify": {"href": f"{self.hub.url}/verify"},
                }
            objects.append(about)
        self.tell({"transfer": "basic", "objects": objects})

    def verify(self):
        asked = json.loads(self.body)
        whole = len(self.hub.blobs.get(asked["oid"], b"")) == asked["size"]
        self.tell({}, 200 if whole else 404)

    def commit(self, repo):
        """All of an ndjson body or nothing of it, on top of the parent that it names."""
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        with self.hub.lock:
            meanwhile, self.hub.before_commit = self.hub.before_commit, None
            if meanwhile and (status := meanwhile(repo)):
                return self.answer(status, b"{}")
            if (
                header.get("parentCommit", self.hub.refs[repo]["main"])
                != self.hub.refs[repo]["main"]
            ):
                return self.refuse(412, "PreconditionFailed")
            files = dict(self.hub.head(repo))
            for line in lines[1:]:
                value, kind = line["value"], line["key"]
                if kind == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif kind == "lfsFile" and value["oid"] in self.hub.blobs:
                    files[value["path"]] = self.hub.blobs[value["oid"]]
                elif kind == "deletedFile" and value["path"] in files:
                    del files[value["path"]]
                else:
                    return self.refuse(400, f"{kind} {value}")
            oid = self.hub.put(repo, files)
            self.hub.messages[oid] = header["summary"]
        self.tell({"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

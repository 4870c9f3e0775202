"""Uploads a model's folder to the Hugging Face Hub in one commit."""

import hashlib
import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonify import hub
from toonify.hub import saving

RETRY_SECONDS = (1.0, 2.0, 4.0)  # seconds before the second try and those after it
MAX_SECONDS = 90.0  # seconds after which no further try begins
READ_TIMEOUT = 30.0  # seconds without a sign of life in the middle of a request
NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receipt:
    """What was pushed: the repository's URL, the commit, and the files that the commit changed.

    `changed` is empty if the repository had everything already; then nothing was committed.
    """

    url: str
    commit: str
    changed: tuple[str, ...]


# What is uploaded ---------------------------------------------------------------------------------


def publish(
    folder: str | Path,
    repo_id: str,
    files: dict[str, Path | bytes] | None = None,
    *,
    private: bool = False,
    message: str = "",
) -> Receipt:
    """Publishes a model's folder, in one commit; see `plan` for what and `commit` for how.

    `files` are what `plan` gave, if it was asked already.

    What an older commit has of another kind of weights, directions or figures goes with it, so
    that no one gets half of the old model.
    """
    check_name(repo_id)
    files = plan(folder, repo_id) if files is None else files
    stale = tuple(name for name in hub.DOWNLOADED if name not in files)
    title = hub.read_style(Path(folder)).title
    message = message or f"Publish {title}"
    return commit(repo_id, files, message=message, private=private, delete=stale)


def plan(folder: str | Path, repo_id: str = "") -> dict[str, Path | bytes]:
    """What would be published of a model's folder: path in the repository -> file or content.

    That is config.json, weights, style.json, metrics.json, training.json, directions, README.md (if
    there is none it is made of the others, and names `repo_id`), and the images beside them, in
    samples/ and in pictures/. Nothing is sent.

    Raises:
        ValueError: the folder is no model's, its weights are not whole, or it does not say what
            they may be used for and what they were trained on.
    """
    folder = hub.resolve_model(Path(folder))
    check_statements(folder)
    return saving.model_files(folder, repo_id)


def check_statements(folder: Path) -> None:
    """Raises ValueError if style.json lacks a license or a data statement; it names the key."""
    style = hub.read_style(folder)
    require_statements(folder / hub.STYLE, style.license, style.data)


def is_stated(text: str) -> bool:
    """Whether a license or a data statement is filled in."""
    return bool(text.strip()) and not text.strip().lower().startswith("unknown")


def require_statements(file: Path, license: str, data: str) -> None:
    """Raises ValueError, which names the key of style.json, if a statement is missing."""
    if not is_stated(license):
        raise ValueError(
            f'{file}: "license" is {license!r}; say there what the weights may be used for, for'
            " example CC-BY-4.0"
        )
    if not is_stated(data):
        raise ValueError(
            f'{file}: "data" is {data!r}; say there what the model was trained on, and what that'
            " allows"
        )
    if re.search(r"(^|[\s,(])(~?/|[A-Za-z]:\\)\w", data):
        raise ValueError(
            f'{file}: "data" is {data!r}, a place on this machine; say what the images are,'
            " whose, and what that allows"
        )


# Permissions ------------------------------------------------------------------------------------


def check_name(repo_id: str) -> str:
    """Returns the repository ID if it is valid, else raises ValueError."""
    bad = repo_id.endswith((".git", ".ipynb")) or ".." in repo_id or "--" in repo_id
    if bad or not re.fullmatch(NAME, repo_id) or len(repo_id) > 96:
        raise ValueError(f"{repo_id!r} is not a valid repository ID (expected owner/name)")
    return repo_id


def require_token() -> str:
    """Returns the user's token; without one raises PermissionError, which says how to get one."""
    from huggingface_hub import get_token

    if not (token := get_token()):
        raise PermissionError(f"not logged in to the Hugging Face Hub: {LOGIN}")
    return token


def check_write_access(repo_id: str) -> None:
    """PermissionError if the user's token cannot write to the owner of `repo_id`; one request.

    Raises:
        ConnectionError: the Hub does not answer.
    """
    import httpx2
    from huggingface_hub import HfApi

    token, owner = require_token(), repo_id.partition("/")[0]
    try:
        with request_timeout(hub.HUB_TIMEOUT):
            user = HfApi().whoami(token)
    except (OSError, httpx2.HTTPError, json.JSONDecodeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status in (401, 403):
            raise permission_error(status, repo_id) from error
        raise ConnectionError(hub.describe_hub_error(error)) from error
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise PermissionError(f"{repo_id}: the token is read-only; {LOGIN}")
    names = {user["name"], *(group["name"] for group in user.get("orgs", ()))}
    if owner not in names:
        raise permission_error(403, repo_id)


def permission_error(status: int, repo_id: str) -> PermissionError:
    """What a status of 401, 402 or 403 means for people."""
    owner = repo_id.partition("/")[0]
    why = {
        401: f"the Hub rejected the token; {LOGIN}",
        402: f"this needs a paid plan of {owner}",
        403: f"no permission to write to {owner}; use a repository of your own, or ask its owner",
    }
    return PermissionError(f"{repo_id}: {why[status]}")


@contextmanager
def request_timeout(seconds: float):
    """Sets the read timeout of the Hub's client, which has none of its own."""
    from huggingface_hub import get_session

    session = get_session()
    before, session.timeout = session.timeout, seconds
    try:
        yield
    finally:
        session.timeout = before


# The commit -----------------------------------------------------------------------------------


def commit(
    repo_id: str,
    files: dict[str, bytes | Path],
    *,
    message: str,
    repo_type: str = "model",
    private: bool = False,
    sdk: str | None = None,
    delete: tuple[str, ...] = (),
) -> Receipt:
    """Makes the files part of a repository, in one commit on top of its head.

    The repository is created if there is none, then `private` if so wanted, and with this `sdk` if
    it is a Space. What `delete` names goes if it is there: files, and what is in folders, whose
    names end with "/", but not in `files`. A head that moved meanwhile is read again
    and committed on; faults of the Hub are retried some seconds long, which the log says.

    Raises:
        ValueError: no repository's name, a public repository that should be private, or files
            that the Hub refuses.
        PermissionError: no token, an unknown one, or one without the right to write there.
        ConnectionError: the Hub is away, or was and the outcome is not known; it says which.
    """
    check_name(repo_id)
    require_token()
    return Push(repo_id, files, message, repo_type, private, sdk, delete).run()


class Push:
    """One commit, retried until it has arrived or cannot."""

    def __init__(self, repo_id, files, message, repo_type, private, sdk, delete):
        from huggingface_hub import HfApi, constants

        self.repo_id, self.files, self.message = repo_id, files, message
        self.kind = dict(repo_type=repo_type)
        self.private, self.sdk, self.delete = private, sdk, delete
        self.api = HfApi()
        prefix = constants.REPO_TYPES_URL_PREFIXES.get(repo_type, "")
        self.url = f"{constants.ENDPOINT}/{prefix}{repo_id}"
        self.changing: tuple[str, ...] = ()  # by the current attempt
        self.unanswered: tuple[str, ...] = ()  # by a commit whose response was lost

    def run(self) -> Receipt:
        """Retries until the commit is done or rejected, or `MAX_SECONDS` have passed."""
        import httpx2

        started, waits = time.monotonic(), iter(RETRY_SECONDS)
        while True:
            try:
                with request_timeout(READ_TIMEOUT):
                    return self.try_once()
            except (OSError, httpx2.HTTPError, json.JSONDecodeError, RuntimeError) as error:
                fault, wait = self.describe_fault(error), next(waits, None)
                if wait is None or time.monotonic() - started > MAX_SECONDS:
                    return self.check_outcome(fault)
            log.warning("%s: %s; trying again in %g s", self.repo_id, fault, wait)
            time.sleep(wait)

    def try_once(self) -> Receipt:
        """One attempt: reads the head and commits what differs on top of it."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        info = self.read_head()
        self.changing = self.changed_files(info)
        if not self.changing:
            # A commit whose response was lost did arrive.
            return Receipt(self.url, info.sha, self.unanswered)
        done = self.api.create_commit(
            self.repo_id,
            [
                CommitOperationAdd(name, self.files[name])
                if name in self.files
                else CommitOperationDelete(name)
                for name in self.changing
            ],
            commit_message=self.message,
            parent_commit=info.sha,
            **self.kind,
        )
        return Receipt(self.url, done.oid, self.changing)

    def changed_files(self, info) -> tuple[str, ...]:
        """Files that differ from the repository's, and those that are to go."""
        there = {file.rfilename: file for file in info.siblings}
        add = [name for name, data in self.files.items() if differs(data, there.get(name))]
        gone = [name for name in there.keys() - self.files.keys() if self.is_deleted(name)]
        return tuple(sorted({*add, *gone}))

    def is_deleted(self, name: str) -> bool:
        """Whether `delete` names the file or a folder that contains it."""
        return any(
            name == gone or (gone.endswith("/") and name.startswith(gone)) for gone in self.delete
        )

    def read_head(self):
        """The repository's current state; the repository is created if it does not exist."""
        from huggingface_hub.errors import RepositoryNotFoundError

        about = dict(files_metadata=True, timeout=hub.HUB_TIMEOUT, **self.kind)
        try:
            # `repo_info` does not retry; with the client's own retries a dead Hub takes 23 s.
            info = self.api.repo_info(self.repo_id, **about)
        except RepositoryNotFoundError:
            self.api.create_repo(
                self.repo_id, private=self.private, exist_ok=True, space_sdk=self.sdk, **self.kind
            )
            info = self.api.repo_info(self.repo_id, **about)
        if self.private and not info.private:
            raise ValueError(
                f"{self.url} already exists and is public; make it private on the Hub, or use"
                " another name"
            )
        return info

    def describe_fault(self, error: Exception) -> str:
        """Describes a fault that a retry may fix; raises for one that it cannot fix."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        if isinstance(error, RuntimeError):  # the client wraps what broke an upload
            return f"uploading a file failed ({type(error.__cause__ or error).__name__})"
        if isinstance(error, OfflineModeIsEnabled):
            raise ConnectionError(
                f"{self.url}: HF_HUB_OFFLINE is set; nothing was published"
            ) from error
        if isinstance(error, json.JSONDecodeError):
            fault = "the Hub sent a malformed response"
        elif isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            if status == 412:
                return "the repository has changed in the meantime"
            if status in (401, 402, 403):
                raise permission_error(status, self.repo_id) from error
            if status not in (408, 429) and status < 500:
                reason = error.server_message or f"HTTP {status}"
                raise ValueError(f"{self.url}: the Hub rejected the commit: {reason}") from error
            fault = f"the Hub answered HTTP {status}"
        elif isinstance(error, httpx2.TransportError):
            fault = f"the Hub does not answer ({type(error).__name__})"
        else:  # a file on this machine cannot be read
            raise error
        if may_have_committed(error):
            self.unanswered = self.changing
        return fault

    def check_outcome(self, fault: str) -> Receipt:
        """Returns the receipt if a commit arrived although its response was lost, else raises."""
        import httpx2

        if not self.unanswered:
            raise ConnectionError(f"{self.url}: {fault}; nothing was published")
        try:
            info = self.read_head()
        except (OSError, httpx2.HTTPError, json.JSONDecodeError) as error:
            raise ConnectionError(
                f"{self.url}: {fault} after everything was sent, so it is unknown whether the"
                " commit arrived. Check the repository, or push again, which changes nothing if it"
                " did"
            ) from error
        if self.changed_files(info):
            raise ConnectionError(f"{self.url}: {fault}; nothing was published")
        return Receipt(self.url, info.sha, self.unanswered)


def may_have_committed(error: Exception) -> bool:
    """Whether the failed request may have been the commit itself."""
    if isinstance(error, json.JSONDecodeError):  # the client reads an error of its card check so
        return False
    try:
        response: Any = getattr(error, "response", error)
        return "/commit/" in response.request.url.path
    except RuntimeError:  # a truncated response has no request
        return True


def differs(data: bytes | Path, there) -> bool:
    """Whether a file differs from the repository's file of that name, or is new."""
    if there is None:
        return True
    if there.lfs is not None:
        return digest(data, "sha256") != there.lfs.sha256
    return digest(data, "sha1", git=True) != there.blob_id


def digest(data: bytes | Path, algorithm: str, git: bool = False) -> str:
    """The hash of a file, or that of git's blob of it."""
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    hashed = hashlib.new(algorithm, b"blob %d\0" % size if git else b"")
    if isinstance(data, bytes):
        hashed.update(data)
        return hashed.hexdigest()
    with open(data, "rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()

"""A model's folder -> a repository on the Hugging Face Hub: one commit, or none."""

import hashlib
import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonify import hub
from toonify.hub import saving

WAITS = (1.0, 2.0, 4.0)  # seconds before the second try and those after it
LONGEST = 90.0  # seconds after which no further try begins
PATIENCE = 30.0  # seconds that the Hub may be silent in the middle of a request
NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receipt:
    """Where it is: the repository's address, its commit, and the files that the commit changed.

    No `changed`: everything was there already, and nothing was committed.
    """

    url: str
    commit: str
    changed: tuple[str, ...]


# What goes up ---------------------------------------------------------------------------------


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
    that nobody draws with half of the old model.
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
    there is none it is made of the others, and names `repo_id`), and the pictures beside them, in
    samples/ and in pictures/. Nothing is sent.

    Raises:
        ValueError: the folder is no model's, its weights are not whole, or it does not say what
            they may be used for and what they were trained on.
    """
    folder = hub.resolve_model(Path(folder))
    check_statements(folder)
    return saving.model_files(folder, repo_id)


def check_statements(folder: Path) -> None:
    """ValueError, naming the key of style.json, if it lacks a license or a data statement."""
    style = hub.read_style(folder)
    refuse_unsaid(folder / hub.STYLE, style.license, style.data)


def is_said(text: str) -> bool:
    """Whether a license or data statement says something."""
    return bool(text.strip()) and not text.strip().lower().startswith("unknown")


def refuse_unsaid(file: Path, license: str, data: str) -> None:
    """ValueError, naming style.json's key, without a license and a statement on the data."""
    if not is_said(license):
        raise ValueError(
            f'{file}: "license" is {license!r}; say there what the weights may be used for, for'
            " example CC-BY-4.0"
        )
    if not is_said(data):
        raise ValueError(
            f'{file}: "data" is {data!r}; say there what the model was trained on, and what that'
            " allows"
        )
    if re.search(r"(^|[\s,(])(~?/|[A-Za-z]:\\)\w", data):
        raise ValueError(
            f'{file}: "data" is {data!r}, a place on this machine; say what the pictures are,'
            " whose, and what that allows"
        )


# Who may ------------------------------------------------------------------------------------


def check_name(repo_id: str) -> str:
    """The repository's name, if it is one; ValueError."""
    bad = repo_id.endswith((".git", ".ipynb")) or ".." in repo_id or "--" in repo_id
    if bad or not re.fullmatch(NAME, repo_id) or len(repo_id) > 96:
        raise ValueError(f"{repo_id!r} is no repository's name: expected owner/name")
    return repo_id


def require_token() -> str:
    """The user's token; PermissionError, saying how to get one, if there is none."""
    from huggingface_hub import get_token

    if not (token := get_token()):
        raise PermissionError(f"the Hub wants to know who you are: {LOGIN}")
    return token


def refuse_stranger(repo_id: str) -> None:
    """PermissionError if the user's token cannot write to the owner of `repo_id`; one request.

    Raises:
        ConnectionError: the Hub does not answer, so that nobody knows.
    """
    import httpx2
    from huggingface_hub import HfApi

    token, owner = require_token(), repo_id.partition("/")[0]
    try:
        with patience(hub.HUB_TIMEOUT):
            user = HfApi().whoami(token)
    except (OSError, httpx2.HTTPError, json.JSONDecodeError) as error:
        if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
            raise refusal(error.response.status_code, repo_id) from error
        raise ConnectionError(hub.describe_hub_error(error)) from error
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise PermissionError(f"{repo_id}: the token may only read; {LOGIN}")
    names = {user["name"], *(group["name"] for group in user.get("orgs", ()))}
    if owner not in names:
        raise refusal(403, repo_id)


def refusal(status: int, repo_id: str) -> PermissionError:
    """What a status of 401, 402 or 403 means for people."""
    owner = repo_id.partition("/")[0]
    why = {
        401: f"the Hub does not know the token; {LOGIN}",
        402: f"the Hub wants a paid plan of {owner} for that",
        403: f"no right to write to {owner}; use a name of your own, or ask its owner",
    }
    return PermissionError(f"{repo_id}: {why[status]}")


@contextmanager
def patience(seconds: float):
    """Requests of the Hub's client wait so long for a sign of life; of itself it waits for ever."""
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
    """One commit, tried until it is there or cannot be."""

    def __init__(self, repo_id, files, message, repo_type, private, sdk, delete):
        from huggingface_hub import HfApi, constants

        self.repo_id, self.files, self.message = repo_id, files, message
        self.kind = dict(repo_type=repo_type)
        self.private, self.sdk, self.delete = private, sdk, delete
        self.api = HfApi()
        prefix = constants.REPO_TYPES_URL_PREFIXES.get(repo_type, "")
        self.url = f"{constants.ENDPOINT}/{prefix}{repo_id}"
        self.changing: tuple[str, ...] = ()  # by the try that is on
        self.unanswered: tuple[str, ...] = ()  # by a commit whose answer did not come

    def run(self) -> Receipt:
        """Tries until it is done, refused, or the Hub was away for too long."""
        import httpx2

        started, waits = time.monotonic(), iter(WAITS)
        while True:
            try:
                with patience(PATIENCE):
                    return self.once()
            except (OSError, httpx2.HTTPError, json.JSONDecodeError, RuntimeError) as error:
                fault, wait = self.judge(error), next(waits, None)
                if wait is None or time.monotonic() - started > LONGEST:
                    return self.last_look(fault)
            log.warning("%s: %s; trying again in %g s", self.repo_id, fault, wait)
            time.sleep(wait)

    def once(self) -> Receipt:
        """One try: read the head, and commit on it what differs."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        info = self.head()
        self.changing = self.changes(info)
        if not self.changing:
            # If a commit was sent whose answer was lost, this is it.
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

    def changes(self, info) -> tuple[str, ...]:
        """Files that differ from the repository's, and those that are to go."""
        there = {file.rfilename: file for file in info.siblings}
        add = [name for name, data in self.files.items() if differs(data, there.get(name))]
        gone = [name for name in there.keys() - self.files.keys() if self.goes(name)]
        return tuple(sorted({*add, *gone}))

    def goes(self, name: str) -> bool:
        """Whether a file is named by `delete`, or lies in a folder that is."""
        return any(
            name == gone or (gone.endswith("/") and name.startswith(gone)) for gone in self.delete
        )

    def head(self):
        """What the repository holds now; it is created if there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError

        about = dict(files_metadata=True, timeout=hub.HUB_TIMEOUT, **self.kind)
        try:
            # Asked for without retries of the client's own: it would wait 23 s for a dead Hub.
            info = self.api.repo_info(self.repo_id, **about)
        except RepositoryNotFoundError:
            self.api.create_repo(
                self.repo_id, private=self.private, exist_ok=True, space_sdk=self.sdk, **self.kind
            )
            info = self.api.repo_info(self.repo_id, **about)
        if self.private and not info.private:
            raise ValueError(
                f"{self.url} is public already; make it private there, or take another"
            )
        return info

    def judge(self, error: Exception) -> str:
        """What a fault was, in words, if another try may go better; else raises what it means."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        if isinstance(error, RuntimeError):  # the client wraps what broke an upload
            return f"an upload failed ({type(error.__cause__ or error).__name__})"
        if isinstance(error, OfflineModeIsEnabled):
            raise ConnectionError(
                f"{self.url}: HF_HUB_OFFLINE is set; nothing was published"
            ) from error
        if isinstance(error, json.JSONDecodeError):
            fault = "the Hub gave a broken answer"
        elif isinstance(error, HfHubHTTPError):
            status = error.response.status_code
            if status == 412:
                return "somebody else has just changed it"
            if status in (401, 402, 403):
                raise refusal(status, self.repo_id) from error
            if status not in (408, 429) and status < 500:
                said = error.server_message or f"HTTP {status}"
                raise ValueError(f"{self.url}: the Hub refuses it: {said}") from error
            fault = f"the Hub answered HTTP {status}"
        elif isinstance(error, httpx2.TransportError):
            fault = f"the Hub does not answer ({type(error).__name__})"
        else:  # of this machine: a file that cannot be read
            raise error
        if may_be_of_commit(error):
            self.unanswered = self.changing
        return fault

    def last_look(self, fault: str) -> Receipt:
        """The receipt if a commit arrived unanswered; else ConnectionError with what is true."""
        import httpx2

        if not self.unanswered:
            raise ConnectionError(f"{self.url}: {fault}; nothing was published")
        try:
            info = self.head()
        except (OSError, httpx2.HTTPError, json.JSONDecodeError) as error:
            raise ConnectionError(
                f"{self.url}: {fault}, when all was sent: whether it arrived is not known. Look"
                " there, or push again, which changes nothing if it did"
            ) from error
        if self.changes(info):
            raise ConnectionError(f"{self.url}: {fault}; nothing was published")
        return Receipt(self.url, info.sha, self.unanswered)


def may_be_of_commit(error: Exception) -> bool:
    """Whether it may have been the commit whose answer did not come whole."""
    if isinstance(error, json.JSONDecodeError):  # the client reads an error of its card check so
        return False
    try:
        request = error.response.request if hasattr(error, "response") else error.request
        return "/commit/" in request.url.path
    except RuntimeError:  # of an answer cut half-way nobody noted the question
        return True


def differs(data: bytes | Path, there) -> bool:
    """Whether a file is other than the repository's of its name, or has none."""
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

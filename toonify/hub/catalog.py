"""Lists the styles that users can choose from: bundled ones and those of a Hub owner."""

import dataclasses
import functools
import os
import re
from pathlib import Path

from toonify import hub
from toonify.hub import Style

MAX_REPOSITORIES = 100  # of an owner, the last changed ones


@dataclasses.dataclass(frozen=True)
class Found:
    """Styles of an owner.

    Attributes:
        styles: the styles.
        note: why the list is incomplete, for users; empty if it is complete.
    """

    styles: tuple[Style, ...] = ()
    note: str = ""


def styles(family: str = "animegan") -> list[Style]:
    """Lists the styles of a family: the bundled ones, then those of $TOONIFY_HUB_OWNER on the Hub.

    The latter are named owner/name. If the Hub does not answer within `hub.HUB_TIMEOUT`, those in
    the local cache are listed, and `note` says so.

    Args:
        family: "animegan", "stylegan", "stylegan-base" or "toongan"; default: "animegan".
    """
    return hub.styles(family) + [style for style in find_owned().styles if style.family == family]


def note() -> str:
    """Returns why the list of styles is incomplete; empty if it is complete."""
    return find_owned().note


def find_owned() -> Found:
    """Finds the styles of $TOONIFY_HUB_OWNER, once per process; none if it is not set."""
    owner = os.environ.get("TOONIFY_HUB_OWNER", "").strip()
    if not owner:
        return Found()
    if not re.fullmatch(r"[\w.-]+", owner):
        return Found(note=f"TOONIFY_HUB_OWNER={owner!r}: expected the name of a Hub account")
    return request_styles(owner)


@functools.cache
def request_styles(owner: str) -> Found:
    """Requests the owner's style repositories, with style.json of the newest commit of each."""
    import httpx2

    found, failed = [], []
    try:
        for repo, commit, fast in list_repositories(owner):
            try:
                found.append(read_remote_style(repo, commit, fast))
            except ConnectionError:
                failed.append(repo)
    except (OSError, ValueError, httpx2.HTTPError) as error:  # ValueError: a login page, no JSON
        reason = hub.describe_hub_error(error)
        return Found(tuple(find_cached(owner)), f"Only cached styles of {owner}: {reason}")
    note = f"Not listed, as the Hub did not answer: {', '.join(failed)}" if failed else ""
    return Found(tuple(style for style in found if style is not None), note)


def list_repositories(owner: str) -> list[tuple[str, str, bool]]:
    """Lists the owner's repositories with the tag of Toonify, in one request without retries.

    Returns:
        owner/name, commit, and whether there is a fast generator, for each.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError
    answer = get_session().get(
        f"{constants.ENDPOINT}/api/models",
        params={
            "author": owner,
            "filter": hub.TAG,
            "full": "true",
            "sort": "lastModified",
            "limit": MAX_REPOSITORIES,
        },
        headers=build_hf_headers(),
        timeout=hub.HUB_TIMEOUT,
    )
    hf_raise_for_status(answer)
    rows = answer.json()
    if not isinstance(rows, list):  # a proxy's answer, for instance
        raise ValueError(f"the Hub's list is a {type(rows).__name__}")
    return [(row["id"], row["sha"], has_fast(row)) for row in rows if is_repository(row)]


def is_repository(row: object) -> bool:
    """Whether a row of the Hub's list names a repository and its commit."""
    if not isinstance(row, dict):
        return False
    name, commit = row.get("id"), row.get("sha")
    is_named = isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name)
    return bool(is_named and isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40}", commit))


def has_fast(row: dict) -> bool:
    """Whether a row of the Hub's list has weights of a fast generator."""
    files = row.get("siblings")
    files = files if isinstance(files, list) else []
    names = {file.get("rfilename") for file in files if isinstance(file, dict)}
    return any(f"{hub.LITE}/{name}" in names for name in hub.WEIGHTS)


def read_remote_style(repo: str, commit: str, fast: bool) -> Style | None:
    """Reads the style of a repository at a commit; downloads only style.json, once per commit.

    Args:
        repo: owner/name.
        commit: the commit.
        fast: whether the repository has a fast generator.

    Returns:
        The style, or None if the repository is restricted or has no valid style.json.

    Raises:
        ConnectionError: the Hub does not answer.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        file = Path(hf_hub_download(repo, hub.STYLE, revision=commit))
        return dataclasses.replace(hub.read_style(file.parent, repo), fast=fast)
    except LocalEntryNotFoundError as error:  # 5xx or a timeout, although an EntryNotFoundError
        raise ConnectionError(hub.describe_hub_error(error)) from error
    except (EntryNotFoundError, RepositoryNotFoundError, ValueError):  # gated ones are the second
        return None


def find_cached(owner: str) -> list[Style]:
    """Finds the owner's complete styles in the local cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        if repo.repo_type == "model" and repo.repo_id.startswith(f"{owner}/"):
            for revision in repo.revisions:
                if "main" in revision.refs and hub.is_model_folder(revision.snapshot_path):
                    found.append(hub.read_style(revision.snapshot_path, repo.repo_id))
    return found

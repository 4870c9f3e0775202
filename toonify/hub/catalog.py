"""The catalog of styles that users can choose from: bundled ones and those of a Hub owner."""

import dataclasses
import functools
import os
import re
from pathlib import Path

from toonify import hub
from toonify.hub import Style

MOST = 100  # repositories of an owner that are listed, those changed last


@dataclasses.dataclass(frozen=True)
class Found:
    """Styles of an owner, and what is to be said if the list is not the Hub's."""

    styles: tuple[Style, ...] = ()
    note: str = ""


def styles(family: str = "animegan") -> list[Style]:
    """A family's styles: those of `hub.styles`, then those of $TOONIFY_HUB_OWNER on the Hub.

    The latter are called owner/name. If the Hub does not answer within `hub.HUB_TIMEOUT`, they are
    those of the owner that are on this machine; `note` says so.
    """
    return hub.styles(family) + [style for style in owned().styles if style.family == family]


def note() -> str:
    """What people should know about the list of styles; nothing if it is whole."""
    return owned().note


def owned() -> Found:
    """What $TOONIFY_HUB_OWNER has, asked for once; nothing if no owner is named.

    Raises ValueError for a name that no owner on the Hub can have.
    """
    owner = os.environ.get("TOONIFY_HUB_OWNER", "").strip()
    if not owner:
        return Found()
    if not re.fullmatch(r"[\w.-]+", owner):
        raise ValueError(f"TOONIFY_HUB_OWNER is {owner!r}, expected the name of an owner")
    return ask(owner)


@functools.cache
def ask(owner: str) -> Found:
    """The owner's style repositories, each as its newest commit describes itself."""
    import httpx2

    try:
        listed = listing(owner)
        found = [described(*row) for row in listed]
    except (OSError, httpx2.HTTPError) as error:
        note = f"{owner}'s styles are those on this machine: {hub.describe_hub_error(error)}"
        return Found(tuple(on_this_machine(owner)), note)
    return Found(tuple(style for style in found if style is not None))


def listing(owner: str) -> list[tuple[str, str, bool]]:
    """The owner's repositories with our tag, by one request without retries: owner/name, commit,
    and whether there are files of a fast generator."""
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
            "limit": MOST,
        },
        headers=build_hf_headers(),
        timeout=hub.HUB_TIMEOUT,
    )
    hf_raise_for_status(answer)
    rows = [(row.get("id", ""), row.get("sha") or "", lists_lite(row)) for row in answer.json()]
    return [row for row in rows if re.fullmatch(r"[0-9a-f]{40}", row[1])]


def lists_lite(row: dict) -> bool:
    """Whether a repository, as the Hub lists it, has weights of a fast generator."""
    names = {file.get("rfilename") for file in row.get("siblings") or ()}
    return any(f"{hub.LITE}/{name}" in names for name in hub.WEIGHTS)


def described(repo: str, commit: str, fast: bool) -> Style | None:
    """The style that a repository holds at a commit; None if it describes none to this visitor.

    Only style.json is fetched, and only once for each commit.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    try:
        file = Path(hf_hub_download(repo, hub.STYLE, revision=commit))
        style = hub.read_style(file.parent, repo)
        return dataclasses.replace(style, fast=fast)
    except (EntryNotFoundError, RepositoryNotFoundError, ValueError):  # gated ones are the second
        return None


def on_this_machine(owner: str) -> list[Style]:
    """The owner's styles in the local cache that can be drawn with."""
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

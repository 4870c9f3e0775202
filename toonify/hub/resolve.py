"""Resolves a style's name, a folder or a Hub repository to a folder of weights."""

import dataclasses
import difflib
import os
import re
from pathlib import Path

from toonify.hub.style import (
    BUNDLED,
    CHOSEN,
    CONFIG,
    DEFAULT_FACES,
    DEFAULT_STYLE,
    DEFAULT_TOON,
    DOWNLOADED,
    HUB_TIMEOUT,
    LITE,
    STYLE,
    WEIGHTS,
    Style,
    complete,
    read_style,
    weights_file,
)


@dataclasses.dataclass(frozen=True)
class Pinned:
    """A style on the Hub at one commit; `repo` without an owner belongs to $TOONIFY_HUB_OWNER.

    `files` are what drawing needs of it, which a Space fetches while it is built.
    """

    repo: str
    revision: str
    title: str
    description: str
    scope: str
    licence: str
    family: str = "animegan"
    files: tuple[str, ...] = (CONFIG, STYLE, WEIGHTS[0])

    @property
    def repo_id(self) -> str | None:
        """owner/repo, or None while the owner is not known."""
        owner = os.environ.get("TOONIFY_HUB_OWNER", "").strip()
        if "/" in self.repo:
            return self.repo
        return f"{owner}/{self.repo}" if owner else None


REGISTRY: dict[str, Pinned] = {}


# Where a style lies ---------------------------------------------------------------------------


def find(source: str | Path, revision: str | None = None) -> Path:
    """The folder of the style that `source` names: a folder, a style's name, or owner/repo.

    From the Hub only JSON, safetensors and the card are fetched. A commit (40 hex digits) that is
    in the local cache needs no network; a branch or tag is looked up in one short request, and the
    copy in the cache serves when the Hub does not answer or HF_HUB_OFFLINE is set.
    Raises ValueError for a name, repository or revision that does not exist or holds no style,
    PermissionError for one that needs a login, ConnectionError when the Hub is needed but away.
    """
    text = str(source)
    folder = Path(text).expanduser()
    bundled = BUNDLED / text
    if (folder / CONFIG).is_file():
        where = f"style={text!r} is a folder"
    elif re.fullmatch(r"[\w-]+", text) and (bundled / CONFIG).is_file():
        folder, where = bundled, f"style={text!r} is bundled"
    elif text in REGISTRY:
        pinned = REGISTRY[text]
        if pinned.repo_id is None:
            raise ValueError(
                f"style={text!r} lies on the Hub: set TOONIFY_HUB_OWNER to the owner of"
                f" {pinned.repo!r}, or give owner/repo"
            )
        return fetch(pinned.repo_id, revision or pinned.revision)
    elif folder.exists() or isinstance(source, Path) or text.startswith(("/", ".", "~")):
        raise ValueError(
            f"style={text!r}: expected a folder with {CONFIG} and {WEIGHTS[1]}, "
            + ("and there is no such folder" if not folder.exists() else f"found no {CONFIG} in it")
        )
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return fetch(text, revision)
    else:
        known = [style.name for family in CHOSEN for style in styles(family)]
        near = difflib.get_close_matches(text, known, n=1)
        raise ValueError(
            f"style={text!r}: expected a folder, owner/repo on the Hub, or one of"
            f" {', '.join(known) or '(no style is bundled)'}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if revision is not None:
        raise ValueError(f"revision={revision!r}: {where}, and only Hub styles have revisions")
    weights_file(folder)
    return folder


def fetch(repo: str, revision: str | None = None) -> Path:
    """The local snapshot of a style's Hub repository; see `find` for what it raises."""
    import httpx2
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"style={repo!r}" + (f" at revision {revision!r}" if revision else "")
    pinned = re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None

    def cached(revision):
        """The complete copy in the local cache, of a branch as it was last seen; or None."""
        try:
            folder = Path(
                snapshot_download(
                    repo, revision=revision, allow_patterns=DOWNLOADED, local_files_only=True
                )
            )
        except LocalEntryNotFoundError:
            return None
        return folder if complete(folder) else None

    try:
        if pinned and (folder := cached(revision)):
            return folder
        # One question without retries first: the downloader would wait 23 s for a dead Hub.
        commit = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT).sha
        folder = cached(revision)
        if folder is None or folder.name != commit:
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=DOWNLOADED))
    except HFValidationError as error:
        raise ValueError(f"{at}: not a repository's name on the Hub ({error})") from error
    except GatedRepoError as error:
        raise PermissionError(
            f"{at}: its owner lets people in one by one; ask for access at"
            f" {constants.ENDPOINT}/{repo} and log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{at}: no such repository on the Hub; if it is private, log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{at}: the repository has no such revision") from error
    except (OSError, httpx2.HTTPError) as error:  # refused, timed out, 5xx, offline on purpose
        if folder := cached(revision):
            return folder
        raise ConnectionError(
            f"{at}: not on this machine yet, and {away(error)}; bundled styles work without a"
            " network"
        ) from error
    if not complete(folder):
        raise ValueError(
            f"{at}: the repository holds no style: expected {CONFIG} and {' or '.join(WEIGHTS)}"
        )
    return folder


def away(error: Exception) -> str:
    """Why the Hub did not answer, in words."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return f"the Hub at {constants.ENDPOINT} does not answer ({type(error).__name__})"


# What there is to say about it ----------------------------------------------------------------


def styles(family: str = "animegan") -> list[Style]:
    """A family's styles that have a name: the default, other bundled ones, then those on the Hub.

    The families that people choose from are those in `CHOSEN`.
    """
    folders = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG}"))
    bundled = [read_style(folder, folder.name, "bundled") for folder in folders]
    bundled = [style for style in bundled if style.family == family]
    defaults = (DEFAULT_STYLE, DEFAULT_TOON, DEFAULT_FACES)
    bundled.sort(key=lambda style: (style.name not in defaults, style.name))
    return bundled + [
        Style(
            name=name,
            title=pinned.title,
            description=pinned.description,
            scope=pinned.scope,
            licence=pinned.licence,
            source=f"hub {pinned.repo_id or f'$TOONIFY_HUB_OWNER/{pinned.repo}'}"
            f"@{pinned.revision[:12]}",
            family=pinned.family,
            fast=any(name.startswith(f"{LITE}/") for name in pinned.files),
        )
        for name, pinned in REGISTRY.items()
        if pinned.family == family and name not in {style.name for style in bundled}
    ]

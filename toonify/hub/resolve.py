"""Resolves a style's name, a folder or a Hub repository to a folder of weights."""

import difflib
import re
import warnings
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
    OLD_STYLES,
    WEIGHTS,
    Style,
    is_model_folder,
    read_style,
    weights_file,
)

# Where a style lies ---------------------------------------------------------------------------


def resolve_model(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a model: a folder, a bundled style, or a repository on the Hub.

    From the Hub only JSON, safetensors and the card are downloaded. A commit (40 hex digits) that
    is in the local cache needs no network. A branch or tag is looked up in one short request; if
    the Hub does not answer or HF_HUB_OFFLINE is set, the copy in the cache is used.

    Args:
        source: a folder, the name of a bundled style, or owner/name.
        revision: branch, tag or commit of a Hub repository; default: its main branch.

    Returns:
        A folder with `config.json` and weights.

    Raises:
        ValueError: the folder, name, repository or revision does not exist or holds no model.
        PermissionError: the repository needs a login.
        ConnectionError: the Hub is needed and does not answer.

    Example:
        >>> resolve_model("comic").name
        'comic'
    """
    text = str(source)
    folder = Path(text).expanduser()
    if text in OLD_STYLES and not folder.exists():
        warnings.warn(
            f"style={text!r} is no longer bundled: {OLD_STYLES[text]!r} is used instead",
            FutureWarning,  # which users of the command line see, too
            stacklevel=2,
        )
        text = OLD_STYLES[text]
    bundled = BUNDLED / text
    if (folder / CONFIG).is_file():
        where = f"style={text!r} is a folder"
    elif re.fullmatch(r"[\w-]+", text) and (bundled / CONFIG).is_file():
        folder, where = bundled, f"style={text!r} is bundled"
    elif folder.exists() or isinstance(source, Path) or text.startswith(("/", ".", "~")):
        raise ValueError(
            f"style={text!r}: expected a folder with {CONFIG} and {WEIGHTS[1]}, "
            + ("but it does not exist" if not folder.exists() else f"found no {CONFIG}")
        )
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return download(text, revision)
    else:
        known = [style.name for family in CHOSEN for style in styles(family)]
        near = difflib.get_close_matches(text, known, n=1)
        raise ValueError(
            f"style={text!r}: expected a folder, owner/name on the Hub, or one of"
            f" {', '.join(known) or '(no style is bundled)'}"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if revision is not None:
        raise ValueError(f"revision={revision!r}: {where}, and only Hub styles have revisions")
    weights_file(folder)
    return folder


def download(repo: str, revision: str | None = None) -> Path:
    """The local snapshot of a Hub repository; arguments and errors as `resolve_model`."""
    import httpx2
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"style={repo!r}" + (f" at revision {revision!r}" if revision else "")
    pinned = re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None
    try:
        if pinned and (folder := _cached(repo, revision)):
            return folder
        # One request without retries first: the downloader would wait 23 s for a dead Hub.
        commit = HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT).sha
        folder = _cached(repo, revision)
        if folder is None or folder.name != commit:
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=DOWNLOADED))
    except HFValidationError as error:
        raise ValueError(f"{at}: not a valid repository ID ({error})") from error
    except GatedRepoError as error:
        raise PermissionError(
            f"{at}: access is restricted; ask for access at {constants.ENDPOINT}/{repo} and log in"
            " with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"{at}: no such repository on the Hub; if it is private, log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ValueError(f"{at}: the repository has no such revision") from error
    except (OSError, httpx2.HTTPError) as error:  # refused, timed out, 5xx, offline on purpose
        if folder := _cached(repo, revision):
            return folder
        raise ConnectionError(
            f"{at}: not in the local cache, and {describe_hub_error(error)}; bundled styles work"
            " without a network"
        ) from error
    if not is_model_folder(folder):
        raise ValueError(
            f"{at}: the repository holds no model: expected {CONFIG} and {' or '.join(WEIGHTS)}"
        )
    return folder


def _cached(repo: str, revision: str | None) -> Path | None:
    """The complete copy in the local cache, of a branch as it was last seen; None without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repo, revision=revision, allow_patterns=DOWNLOADED, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return Path(found) if is_model_folder(Path(found)) else None


def describe_hub_error(error: Exception) -> str:
    """Why the Hub did not answer, as part of a sentence."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return f"the Hub at {constants.ENDPOINT} does not answer ({type(error).__name__})"


# What style.json says --------------------------------------------------------------------------


def styles(family: str = "animegan") -> list[Style]:
    """The bundled styles of a family, the default one first.

    Args:
        family: "animegan" (default), "stylegan" or "toongan".

    Example:
        >>> "faces" in [style.name for style in styles("toongan")]
        True
    """
    folders = sorted(path.parent for path in BUNDLED.glob(f"*/{CONFIG}"))
    found = []
    for folder in folders:
        try:
            found.append(read_style(folder))
        except ValueError as error:  # the others are offered
            warnings.warn(f"A bundled style is left out: {error}", stacklevel=2)
    found = [style for style in found if style.family == family]
    defaults = (DEFAULT_STYLE, DEFAULT_TOON, DEFAULT_FACES)
    return sorted(found, key=lambda style: (style.name not in defaults, style.name))

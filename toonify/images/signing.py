"""Signs what is written with a C2PA manifest, where the operator has a certificate; off by default.

`TOONIFY_C2PA_CERTIFICATE` names the file of the certificate and its chain, `TOONIFY_C2PA_KEY` that
of the private key, both PEM, and `TOONIFY_C2PA_ALGORITHM` the algorithm (default: es256). The
signature covers the file and the statement that the mark makes. It needs the extra `c2pa`.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import os
from pathlib import Path
from typing import Any

from toonify.files import temporary_path
from toonify.images.marks import make_uri

CERTIFICATE, KEY = "TOONIFY_C2PA_CERTIFICATE", "TOONIFY_C2PA_KEY"
ALGORITHM = "TOONIFY_C2PA_ALGORITHM"
# Formats of Pillow and suffixes of films -> what C2PA calls them; others are not signed.
TYPES = {
    **{form: f"image/{form.lower()}" for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")},
    **dict.fromkeys((".mp4", ".m4v"), "video/mp4"),
    ".mov": "video/quicktime",
    **{f".{name}": f"image/{name}" for name in ("gif", "webp", "png")},  # animations
}


def sign(data: bytes, form: str, source_type: str | None) -> bytes:
    """Signs an encoded image.

    Args:
        data: the file.
        form: Pillow's name of its format.
        source_type: what its mark says; without a mark it is not signed.

    Returns:
        The signed file; `data` where no certificate is set or the format cannot be signed.

    Raises:
        ValueError: a certificate is set, and it or the key or the package cannot be used.
    """
    if not applies(form, source_type):
        return data
    signed = io.BytesIO()
    write(io.BytesIO(data), signed, TYPES[form], str(source_type))
    return signed.getvalue()


def sign_file(file: Path, source_type: str | None) -> None:
    """Signs a finished film in place, as `sign` does."""
    if not applies(file.suffix.lower(), source_type):
        return
    temporary = temporary_path(file)
    try:
        with open(file, "rb") as before, open(temporary, "w+b") as after:
            write(before, after, TYPES[file.suffix.lower()], str(source_type))
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def applies(form: str, source_type: str | None) -> bool:
    """Whether such a file is to be signed."""
    return CERTIFICATE in os.environ and source_type is not None and form in TYPES


def write(source: Any, target: Any, kind: str, source_type: str) -> None:
    """Writes the signed copy of an open file."""
    paths = os.environ[CERTIFICATE], os.environ.get(KEY, "")
    signer = make_signer(*paths, os.environ.get(ALGORITHM, "es256"))
    with importlib.import_module("c2pa").Builder(make_manifest(source_type)) as builder:
        builder.sign(signer, kind, source, target)


@functools.cache
def make_manifest(source_type: str) -> str:
    """The statement that is signed, as JSON."""
    action = {"action": "c2pa.created", "digitalSourceType": make_uri(source_type)}
    return json.dumps(
        {
            "claim_generator_info": [{"name": "Toonify"}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
    )


@functools.cache
def make_signer(certificate: str, key: str, algorithm: str) -> Any:
    """What signs with a certificate; ValueError names the setting that cannot be used."""
    try:
        c2pa = importlib.import_module("c2pa")
    except ImportError as error:
        raise ValueError(f"{CERTIFICATE} is set: install the extra c2pa") from error
    parts = {}
    for setting, path in ((CERTIFICATE, certificate), (KEY, key)):
        try:
            parts[setting] = Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"{setting}={path!r}: expected a PEM file ({error})") from error
    info = c2pa.C2paSignerInfo(
        alg=algorithm.encode(),
        sign_cert=parts[CERTIFICATE],
        private_key=parts[KEY],
        ta_url=None,
    )
    try:
        return c2pa.Signer.from_info(info)
    except c2pa.C2paError as error:
        raise ValueError(f"{CERTIFICATE}={certificate!r}: cannot sign ({error})") from error

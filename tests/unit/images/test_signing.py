"""C2PA signatures with a certificate that the test makes itself; skipped without the extra."""

import datetime
import io
import json

import pytest
from PIL import Image

from tests.fixtures.mark_readers import DRAWN, read_source_type
from tests.fixtures.toy_videos import make_video
from toonify import images
from toonify.images import marks, signing


def test_nothing_is_signed_without_a_certificate(monkeypatch):
    monkeypatch.delenv(signing.CERTIFICATE, raising=False)
    assert signing.sign(b"any", "PNG", marks.DRAWN) == b"any"


def test_a_certificate_that_is_not_there_is_named(monkeypatch, tmp_path):
    pytest.importorskip("c2pa", reason="needs the extra c2pa")
    monkeypatch.setenv(signing.CERTIFICATE, str(tmp_path / "none.pem"))
    with pytest.raises(ValueError, match=r"TOONIFY_C2PA_CERTIFICATE='.*none.pem': expected a PEM"):
        images.encode(marks.mark(Image.new("RGB", (8, 8)), marks.DRAWN))
    assert images.encode(Image.new("RGB", (8, 8)))  # says nothing, so that nothing is signed


@pytest.fixture
def certificate(monkeypatch, tmp_path):
    """A certificate of an authority of its own."""
    pytest.importorskip("c2pa", reason="needs the extra c2pa")
    x509 = pytest.importorskip("cryptography.x509", reason="makes the certificate")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def make(name, key, is_authority):
        def named(name):
            oid = x509.NameOID
            pairs = ((oid.ORGANIZATION_NAME, "Test"), (oid.COMMON_NAME, name))
            return x509.Name([x509.NameAttribute(*pair) for pair in pairs])

        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        made = x509.CertificateBuilder(named("root"), named(name), key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        usage = [not is_authority, *[False] * 4, is_authority, is_authority, False, False]
        identify, point = x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier
        for part, critical in (
            (x509.BasicConstraints(is_authority, None), True),
            (x509.KeyUsage(*usage), True),
            (identify.from_public_key(key.public_key()), False),
            (point.from_issuer_public_key(authority.public_key()), False),
        ):
            made = made.add_extension(part, critical)
        if not is_authority:
            purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(purpose, False)
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(make("signer", own, False) + make("root", authority, True))
    private = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key.write_bytes(private)
    monkeypatch.setenv(signing.CERTIFICATE, str(chain))
    monkeypatch.setenv(signing.KEY, str(key))


def read_manifest(data: bytes, kind: str) -> dict:
    from c2pa import Reader

    with Reader(kind, io.BytesIO(data)) as reader:
        found = json.loads(reader.json())
    # Valid, though nobody trusts the authority.
    assert found["validation_state"] == "Valid"
    return found["manifests"][found["active_manifest"]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_pictures_are_signed_and_keep_their_mark_and_pixels(certificate, monkeypatch, suffix):
    image = marks.mark(Image.new("RGB", (64, 64), "red"), marks.DRAWN)
    signed = images.encode(image, suffix)
    manifest = read_manifest(signed, signing.TYPES[images.SAVES[suffix]])
    [action] = manifest["assertions"][0]["data"]["actions"]
    assert action["digitalSourceType"] == DRAWN == read_source_type(signed)
    monkeypatch.delenv(signing.CERTIFICATE)
    plain = images.encode(image, suffix)
    with Image.open(io.BytesIO(signed)) as one, Image.open(io.BytesIO(plain)) as other:
        assert one.tobytes() == other.tobytes()


def test_films_are_signed(certificate, tmp_path):
    film = make_video(tmp_path / "a.mp4")
    signing.sign_file(film, marks.DRAWN)
    read_manifest(film.read_bytes(), "video/mp4")


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
def test_animations_are_signed_and_keep_their_frames(certificate, tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    first, second = (Image.new("RGB", (32, 32), color) for color in ("red", "blue"))
    first.save(file, save_all=True, append_images=[second], duration=250)
    signing.sign_file(file, marks.DRAWN)
    read_manifest(file.read_bytes(), signing.TYPES[suffix])
    with Image.open(file) as animation:
        assert animation.n_frames == 2

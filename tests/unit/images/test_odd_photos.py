"""Photos of scanners, microscopes and editors: TIFFs of all kinds, profiles, orientation."""

import base64
import contextlib
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.odd_inputs import encoded, picture, png_chunk, with_orientation
from tests.unit.images.test_color_spaces import swapped_profile
from tests.unit.images.test_io import linear_gray_profile
from toonify import images
from toonify.images.formats import describe_tiff

GRAY = np.linspace(0, 1, 64).reshape(8, 8)
COLORS = np.stack([GRAY * 0 + 0.5, GRAY, GRAY], axis=2)
UNSIGNED, SIGNED, FLOAT, COMPLEX = 1, 2, 3, 6


def tiff(pixels, dtype, form=UNSIGNED, *, planar=False, white_is_zero=False, packed=False):
    """A TIFF of pixels (H, W) or (H, W, samples), in one strip, or in one for each sample."""
    order, samples = dtype[0], 1 if pixels.ndim == 2 else pixels.shape[2]
    array = pixels.astype(dtype)
    planes = array.reshape(8, 8, samples).transpose(2, 0, 1) if planar else [array]
    strips = [np.ascontiguousarray(plane).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    color = 2 if samples > 2 else 0 if white_is_zero else 1
    tags = {
        256: [8],
        257: [8],
        258: [array.dtype.itemsize * 8] * samples,
        259: [8 if packed else 1],
    }
    tags |= {262: [color], 273: [0] * len(strips), 277: [samples], 278: [8]}
    tags |= {279: [len(strip) for strip in strips], 284: [2 if planar else 1]}
    tags |= {338: [2]} if samples in (2, 4) else {}
    tags |= {339: [form] * samples}
    long = {tag: len(values) * 4 for tag, values in tags.items() if len(values) > 1}
    end = 8 + 2 + 12 * len(tags) + 4
    places = {tag: end + sum(list(long.values())[:n]) for n, tag in enumerate(long)}
    data = end + sum(long.values())
    tags[273] = [data + sum(map(len, strips[:n])) for n in range(len(strips))]
    file = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, values in tags.items():
        value = places[tag] if tag in long else values[0]
        file += struct.pack(f"{order}HHII", tag, 4, len(values), value)
    file += bytes(4)
    for tag in long:
        file += struct.pack(f"{order}{len(tags[tag])}I", *tags[tag])
    return file + b"".join(strips)


@pytest.mark.parametrize("kind", ["<u1", ">u1", "<u2", ">u2", "<u4", "<f4", ">f4"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grays_of_any_depth_keep_their_steps(kind, white_is_zero):
    high, form = (1, FLOAT) if "f" in kind else (2 ** (8 * int(kind[2])) - 1, UNSIGNED)
    file = tiff(GRAY * high, kind, form, white_is_zero=white_is_zero)
    if white_is_zero and kind in (">u2", "<u4"):
        with pytest.raises(
            images.ImageError, match=r"grays of (16|32) bits, 0 for white; expected"
        ):
            images.load(file)
        return
    found = np.asarray(images.load(file))[..., 0]
    expected = 255 * (1 - GRAY if white_is_zero else GRAY)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    "kind, planar, packed",
    [("u1", False, False), ("u1", True, False), ("u1", True, True), ("u2", False, True)],
)
def test_colors_lie_side_by_side_or_in_planes(kind, planar, packed):
    high = 255 if kind == "u1" else 65535
    found = np.asarray(images.load(tiff(COLORS * high, f"<{kind}", planar=planar, packed=packed)))
    assert np.abs(found - 255 * COLORS).max() <= 1


@pytest.mark.parametrize(
    "pixels, kind, form, planar, words",
    [
        (GRAY, "<f2", FLOAT, False, "floating-point grays of 16 bits"),
        (GRAY, ">f8", FLOAT, False, "floating-point grays of 64 bits"),
        (COLORS, "<f2", FLOAT, False, "floating-point colors of 16 bits"),
        (COLORS, ">f8", FLOAT, True, "floating-point colors of 64 bits in separate planes"),
        (COLORS[..., :2], "<f4", FLOAT, False, "floating-point grays and alpha of 32 bits"),
        (COLORS * 65535, "<u2", UNSIGNED, True, "colors of 16 bits in separate planes"),
        (COLORS * 65535, ">u2", UNSIGNED, True, "colors of 16 bits in separate planes"),
        (COLORS * 65535, "<u4", UNSIGNED, False, "colors of 32 bits"),
        (COLORS[..., :2] * 255, "<u2", UNSIGNED, False, "grays and alpha of 16 bits"),
        (GRAY * 65535, ">u4", UNSIGNED, False, "grays of 32 bits"),
        (GRAY, "<c8", COMPLEX, False, "complex grays of 64 bits"),
        (COLORS[..., [0, 1, 2, 0, 1]] * 255, "<u1", UNSIGNED, False, "5 numbers a pixel of 8 bits"),
    ],
)
def test_tiffs_that_are_not_read_are_called_what_they_are(pixels, kind, form, planar, words):
    file = tiff(pixels, kind, form, planar=planar)
    with pytest.raises(images.ImageError, match=f"is a TIFF with {words}; expected 8 or 16 bits"):
        images.load(file)


@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_damaged_tiff_is_called_damaged(big_tiff):
    file = encoded(picture(), "TIFF", big_tiff=big_tiff)
    first = slice(8, 16) if big_tiff else slice(4, 8)  # where the first table of tags is
    astray = bytearray(file)
    astray[first] = b"\xff" * (first.stop - first.start)
    for data in (file[:60], file[:5], file[: len(file) // 2], bytes(astray)):
        assert describe_tiff(data) == ""
        with pytest.raises(images.ImageError, match="damaged or cut-off TIFF"):
            images.load(data)


def test_grays_of_12_bits_span_their_4096_steps():
    pixels = Image.fromarray(np.rint(GRAY * 4095).astype(np.uint16))
    file = encoded(pixels, "TIFF")
    at = file.index(struct.pack("<HHI", 258, 3, 1)) + 8
    wide = np.rint(GRAY * 4095).astype(int).reshape(-1, 2)  # two numbers in three bytes
    rows = np.stack(
        [wide[:, 0] >> 4, (wide[:, 0] & 15) << 4 | wide[:, 1] >> 8, wide[:, 1] & 255], 1
    )
    data = file[:at] + struct.pack("<H", 12) + file[at + 2 :]
    start = data.index(pixels.tobytes())
    packed = data[:start] + rows.astype(np.uint8).tobytes() + data[start + 96 :]
    assert np.abs(np.asarray(images.load(packed))[..., 0] - 255 * GRAY).max() <= 1


# Profiles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("form", ["JPEG", "TIFF", "AVIF", "PNG with one transparent gray"])
def test_a_gray_profile_counts_in_every_format(form, alpha):
    """A linear gray of 55 is one of 128 in sRGB."""
    name, *clear = form.split()
    options = {"transparency": 200} if clear else {} if name == "TIFF" else {"quality": 100}
    gray = Image.new("L", (16, 16), 55)
    if clear:
        gray.paste(200, (0, 0, 8, 8))
    file = encoded(gray, name, icc_profile=linear_gray_profile(), **options)
    photo = images.load(file, alpha=alpha)
    assert all(abs(level - 128) <= 2 for level in photo.getpixel((12, 12))[:3])
    if clear:
        assert photo.getpixel((4, 4)) == ((229, 229, 229, 0) if alpha else (255, 255, 255))


@pytest.mark.parametrize("form", ["P", "RGBA", "RGB with one transparent color"])
def test_a_profile_counts_beside_transparency(form):
    """The profile swaps red and blue."""
    mode, *clear = form.split()
    image = Image.new("RGB", (8, 8), (200, 0, 0))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    options = {"transparency": (1, 2, 3)} if clear else {"transparency": 1} if mode == "P" else {}
    file = encoded(image, "PNG", icc_profile=swapped_profile(), **options)
    red, green, blue = images.load(file).getpixel((3, 3))
    assert blue > 150 and max(red, green) < 60


# Orientation -----------------------------------------------------------------------------------

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_only_exif_turns_a_photo(form):
    """Browsers do not follow the orientation in XMP."""
    if form == "PNG":
        file = encoded(picture(), "PNG")
        text = b"XML:com.adobe.xmp" + bytes(5) + XMP
        file = file[:33] + png_chunk(b"iTXt", text) + file[33:]
    else:
        file = encoded(picture(), form, xmp=XMP)
    assert b"tiff:Orientation" in file
    assert images.load(file).size == (64, 48)


@pytest.mark.parametrize("orientation, corner", [(6, (47, 0)), (3, (63, 47)), (2, (63, 0))])
@pytest.mark.parametrize("form", ["AVIF", "HEIF", "MPO", "PNG at its end"])
def test_orientation_counts_once_in_every_format(form, orientation, corner):
    image = Image.new("RGB", (64, 48), "white")
    image.paste((0, 0, 0), (0, 0, 16, 16))
    exif = with_orientation(orientation)
    images.formats.accepted_formats()
    if form == "PNG at its end":
        file = encoded(image, "PNG")
        file = file[:-12] + png_chunk(b"eXIf", exif[6:]) + file[-12:]
    else:
        more = {"save_all": True, "append_images": [picture()]} if form == "MPO" else {}
        file = encoded(image, form, exif=exif, quality=95, **more)
    photo = images.load(file)
    assert photo.size == ((48, 64) if orientation == 6 else (64, 48))
    assert photo.getpixel(corner)[0] < 40
    assert np.asarray(photo).mean() > 200


# Sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, kind",
    [
        ("https://example.org/a.jpg", "an address"),
        ("data:image/jpeg;base64,/9j/4AAQ", "an address"),
        ("FILE:///tmp/a.jpg", "an address"),
        (base64.b64encode(encoded(picture(), "JPEG")).decode(), "base64"),
        (base64.encodebytes(encoded(picture(), "PNG")).decode(), "base64"),
        ("", "no path"),
        (" \n", "no path"),
        ("x" * 5000, "no path"),
    ],
)
def test_a_text_that_is_no_path_is_called_what_it_is(text, kind):
    words = f"^A text of {len(text)} characters was given, which is {kind}; expected a photo"
    with pytest.raises(images.ImageError, match=words) as error:
        images.load(text)
    assert len(str(error.value)) < 250


def test_long_paths_of_plain_letters_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("a" * 200, "b" * 200)
    folder.mkdir(parents=True)
    (folder / "c").write_bytes(encoded(picture(), "JPEG"))
    assert images.load(str(folder / "c")).size == (64, 48)


@pytest.mark.parametrize("kind", ["spooled", "raw", "buffered", "zip"])
def test_files_at_their_end_are_told_to_be_rewound(tmp_path, kind):
    data = encoded(picture(), "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with contextlib.ExitStack() as stack:
        if kind == "spooled":
            file = stack.enter_context(tempfile.SpooledTemporaryFile())
            file.write(data)
        elif kind == "zip":
            with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
                archive.write(path, "a.jpg")
            archive = stack.enter_context(zipfile.ZipFile(tmp_path / "a.zip"))
            file = stack.enter_context(archive.open("a.jpg"))
            file.read()
        else:
            file = stack.enter_context(open(path, "rb", buffering=0 if kind == "raw" else -1))
            file.read()
        with pytest.raises(images.ImageError, match=r"read to its end before; call its seek\(0\)"):
            images.load(file)
        file.seek(0)
        assert images.load(file).size == (64, 48)

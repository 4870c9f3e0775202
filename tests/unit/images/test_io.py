"""Photos of every kind come in upright and RGB or are refused in plain words; they go out clean."""

import io
import os
import stat
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile

from tests.fixtures.odd_inputs import (
    encoded,
    make_odd_inputs,
    picture,
    png_bomb,
    png_chunk,
    with_orientation,
)
from toonify import images
from toonify.images import ImageError


@pytest.fixture(scope="module")
def odd_inputs(tmp_path_factory):
    return make_odd_inputs(tmp_path_factory.mktemp("odd"))


def difference(image, other):
    return float(np.abs(np.asarray(image).astype(int) - np.asarray(other).astype(int)).mean())


@pytest.mark.filterwarnings("ignore")
def test_odd_inputs_open_or_are_refused_in_plain_words(odd_inputs):
    assert len(odd_inputs) >= 30
    for name, (path, expected) in odd_inputs.items():
        if expected == "ok":
            photo = images.load(path)
            assert photo.mode == "RGB" and photo.info == {}, name
        else:
            with pytest.raises(ImageError) as refusal:
                images.load(path)
            text = str(refusal.value)
            assert text.startswith(name) and ("expected" in text or "at most" in text), text
            assert str(path.parent) not in text and "root:" not in text
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("drawing.png", "an SVG drawing"),
        ("photo_heic.jpg", "HEIC or HEIF"),
        ("document.pdf", "a PDF document"),
        ("text.jpg", "is text"),
        ("passwords.jpg", "is text"),
        ("page.jpg", "a web page"),
        ("archive.zip", "a ZIP archive"),
        ("video.mp4", "a video"),
        ("noise.jpg", "data of an unknown kind"),
        ("empty.jpg", "is empty"),
        ("truncated.jpg", "a damaged or cut-off JPEG"),
        ("truncated.webp", "a damaged or cut-off WebP"),
        ("folder.jpg", "is a folder"),
        ("missing.jpg", "does not exist"),
        ("bomb.png", "too many pixels"),
    ],
)
def test_refusal_says_what_was_found(odd_inputs, name, words):
    with pytest.raises(ImageError, match=words):
        images.load(odd_inputs[name][0])


@pytest.mark.parametrize(
    "name",
    [
        *("animated.gif", "animated.webp", "animated.png", "pages.tiff", "plain.bmp", "plain.avif"),
        *("cmyk.jpg", "cmyk.tiff", "palette.png", "interlaced.png", "progressive.jpg"),
        *("really_a_png.jpg", "really_a_jpeg.png", "rotated_exif.jpg", "rotated_exif.png"),
        *("broken_exif.jpg", "odd_orientation.jpg", "corrupt_icc.jpg", "srgb_icc.jpg"),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_colors_and_direction_survive(odd_inputs, name):
    photo = images.load(odd_inputs[name][0])
    assert photo.size == picture().size
    assert difference(photo, picture()) < 3.0


@pytest.mark.parametrize("name", ["gray16.png", "gray16.tiff", "gray32.tiff", "float.tiff"])
def test_deep_grays_are_scaled_not_clamped(odd_inputs, name):
    photo = images.load(odd_inputs[name][0])
    assert difference(photo, picture().convert("L").convert("RGB")) < 0.6


def test_float_and_integer_spans():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    for pixels in (ramp, ramp * 255, ramp * 65535, ramp * 5000 - 70_000):
        gray = np.asarray(images.load(Image.fromarray(pixels)))[0, :, 0]
        assert np.abs(gray.astype(int) - np.arange(256)).max() <= 1
    holes = ramp.copy()
    holes[0, :3] = np.nan, np.inf, -np.inf
    assert np.asarray(images.load(Image.fromarray(holes)))[0, -1, 0] == 255
    assert np.asarray(images.load(Image.fromarray(ramp * 0 - 5))).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation, form):
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that undoes each
    stored = picture((32, 20))
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(back[orientation]))
    photo = images.load(encoded(stored, form, exif=with_orientation(orientation)))
    assert photo.size == (32, 20)
    assert difference(photo, picture((32, 20))) < 6.0


def test_transparency_lies_over_white(odd_inputs):
    alpha = np.asarray(Image.linear_gradient("L").resize(picture().size))[..., None] / 255
    expected = np.asarray(picture()) * alpha + 255 * (1 - alpha)
    for name in ("alpha.png", "alpha.webp"):
        assert np.abs(np.asarray(images.load(odd_inputs[name][0])) - expected).max() <= 1.5
    gray = np.asarray(picture().convert("L"))[..., None] * alpha + 255 * (1 - alpha)
    assert np.abs(np.asarray(images.load(odd_inputs["gray_alpha.png"][0])) - gray).max() <= 1.5
    keyed = Image.new("RGB", (4, 4), (9, 9, 9))
    assert images.load(encoded(keyed, "PNG", transparency=(9, 9, 9))).getpixel((0, 0)) == (255,) * 3
    clear = Image.new("P", (4, 4), 0)
    clear.putpalette([200, 0, 0, 0, 0, 200])
    assert images.load(encoded(clear, "GIF", transparency=0)).getpixel((1, 1)) == (255,) * 3


def test_embedded_profile_becomes_srgb():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    table = bytearray(srgb)
    red, blue = srgb.index(b"rXYZ"), srgb.index(b"bXYZ")
    table[red : red + 4], table[blue : blue + 4] = b"bXYZ", b"rXYZ"  # red light where blue was
    photo = Image.new("RGB", (4, 4), (250, 20, 20))
    for form in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        turned = images.load(encoded(photo, form, icc_profile=bytes(table), **options))
        assert difference(turned, Image.new("RGB", (4, 4), (20, 20, 250))) < 2
        kept = images.load(encoded(photo, form, icc_profile=srgb, **options))
        assert kept.getpixel((0, 0)) == (250, 20, 20)
    clear = photo.copy()
    clear.putalpha(0)
    assert images.load(encoded(clear, "PNG", icc_profile=bytes(table))).getpixel((0, 0)) == (
        (255,) * 3
    )


def test_profile_of_a_deep_gray_does_not_clamp_it():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = Image.fromarray(np.arange(0, 65536, 257, dtype=np.uint16)[None])
    gray = np.asarray(images.load(encoded(wide, "PNG", icc_profile=srgb)))[0, :, 0]
    assert np.abs(gray.astype(int) - np.arange(256)).max() <= 1


def test_lab_tiff():
    lab = ImageCms.profileToProfile(
        picture(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert difference(images.load(encoded(lab, "TIFF")), picture()) < 3.0


def test_limits(tmp_path):
    data = encoded(picture((100, 50)), "PNG")
    assert images.load(data, max_pixels=5000).size == (100, 50)
    with pytest.raises(ImageError, match="100x50"):
        images.load(data, max_pixels=4999)
    with pytest.raises(ImageError, match="100x50"):
        images.load(picture((100, 50)), max_pixels=4999)
    (tmp_path / "photo.png").write_bytes(data)
    for source in (data, tmp_path / "photo.png", io.BytesIO(data)):
        with pytest.raises(ImageError, match="larger than"):
            images.load(source, max_bytes=len(data) - 1)
        assert images.load(source if isinstance(source, bytes) else tmp_path / "photo.png")


def test_bombs_are_refused_before_decoding(monkeypatch):
    def decode(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    for side in (8000, 12_000, 30_000, 2_000_000):
        for action in ("ignore", "error"):
            with warnings.catch_warnings():
                warnings.simplefilter(action)
                with pytest.raises(ImageError, match="million pixels"):
                    images.load(png_bomb(side, side))


def test_compressed_text_bomb_is_refused_or_skipped():
    chunk = b"Comment\0\0" + zlib.compress(b" " * 3_000_000)
    png = encoded(picture((8, 8)), "PNG")
    with pytest.raises(ImageError, match="damaged"):
        images.load(png[:33] + png_chunk(b"zTXt", chunk) + png[33:])


def test_sources(tmp_path):
    data = encoded(picture(), "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with open(path, "rb") as file:
        for source in (path, str(path), data, bytearray(data), file, Image.open(path), picture()):
            assert difference(images.load(source), picture()) == 0.0
    own = picture()
    assert images.load(own) is not own
    for source in (None, 7, io.StringIO("text"), "", "a\0b", "x" * 5000):
        with pytest.raises(ImageError):
            images.load(source)
    with pytest.raises(ImageError, match=r"'a\\x1b\[31m.jpg'"):
        images.load("a\x1b[31m.jpg")


def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", "/dev/zero"):
        with pytest.raises(ImageError, match="not a regular file"):
            images.load(path)


def test_tensor_and_back_is_exact():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photo = Image.fromarray(np.stack([levels, levels[::-1], levels.T], axis=-1))
    tensor = images.to_tensor(photo)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32
    assert tensor.min() == -1.0 and tensor.max() == 1.0 and tensor.is_contiguous()
    assert images.to_pil(tensor).tobytes() == photo.tobytes()
    assert images.to_pil(tensor[0]).tobytes() == photo.tobytes()
    half = images.to_pil(tensor.to(torch.bfloat16).requires_grad_())
    assert difference(half, photo) < 1.0
    assert images.to_pil(torch.full((3, 2, 2), 9.0)).getpixel((0, 0)) == (255, 255, 255)


def test_wrong_shapes_are_named():
    for shape in ((2, 3, 4, 4), (1, 4, 4), (4, 4)):
        with pytest.raises(ValueError, match="expected"):
            images.to_pil(torch.zeros(shape))
    with pytest.raises(ValueError, match="RGB"):
        images.to_tensor(picture().convert("L"))


@pytest.mark.parametrize("suffix", images.SAVES)
def test_save_in_every_format_without_metadata(tmp_path, suffix):
    photo = picture()
    photo.info = {"comment": b"secret", "icc_profile": b"secret", "dpi": (7, 7), "exif": b"secret"}
    path = images.save(photo, tmp_path / "new" / f"toon{suffix.upper()}")
    assert [p.name for p in path.parent.iterdir()] == [f"toon{suffix.upper()}"]
    assert b"secret" not in path.read_bytes()
    with Image.open(path) as saved:
        assert saved.format == images.SAVES[suffix] and not saved.getexif().get(0x0112)
    assert difference(images.load(path), photo) < 2.0
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_save_replaces_only_when_done(tmp_path, monkeypatch):
    path = tmp_path / "toon.png"
    images.save(picture(), path)
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="No space"):
            images.save(Image.new("RGB", (3, 3)), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    images.save(Image.new("RGB", (3, 3)), path)
    assert images.load(path).size == (3, 3)


def test_an_image_of_noise_is_saved_as_jpeg(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    for quality in (75, 90, 95):
        images.save(Image.fromarray(pixels), tmp_path / "noise.jpg", quality)
        near = np.asarray(images.load(tmp_path / "noise.jpg"), int)
        assert np.abs(near - pixels).mean() < 30


def test_save_refuses(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name in ("toon", "toon.gif", "toon.exe", "folder.png"):
        with pytest.raises(ImageError, match="expected"):
            images.save(picture(), tmp_path / name)
    with pytest.raises(ImageError, match="quality"):
        images.save(picture(), tmp_path / "toon.jpg", quality=0)
    with pytest.raises(ImageError, match="70000x2"):
        images.save(Image.new("RGB", (70_000, 2)), tmp_path / "wide.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_loading_a_photo_imports_no_torch(odd_inputs):
    code = (
        "import sys; from toonify import images; images.load(sys.argv[1]); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, odd_inputs["alpha.png"][0]], check=True)


def test_a_grid_fills_its_rows_and_leaves_the_rest_white():
    colors = ("red", "lime", "blue", "black", "teal")
    pictures = [Image.new("RGB", (6, 4), color) for color in colors]
    page = images.grid(pictures)
    assert page.size == (18, 8)
    cells = [page.getpixel((6 * x, 4 * y)) for y in range(2) for x in range(3)]
    expected = [picture.getpixel((0, 0)) for picture in pictures]
    assert cells == [*expected, (255, 255, 255)]
    assert images.grid(pictures[:2], 7).size == (12, 4)
    assert images.grid(pictures, 1).size == (6, 20)


@pytest.mark.parametrize(
    "sizes, columns, words",
    [
        ([], None, "no images: expected one"),
        ([(6, 4), (4, 6)], None, r"image 2 is \(4, 6\), expected \(6, 4\)"),
        ([(6, 4)], 0, "columns=0: expected 1 or more"),
    ],
)
def test_what_is_no_grid_is_refused(sizes, columns, words):
    with pytest.raises(ValueError, match=words):
        images.grid([Image.new("RGB", size) for size in sizes], columns)


def float_tiff(order, samples):
    """A TIFF of 4 x 4 pixels with floating-point numbers."""
    kind = "<" if order == b"II" else ">"
    tags = [(256, 3, 4), (257, 3, 4), (258, 3, 32), (259, 3, 1), (262, 3, 2 if samples > 1 else 1)]
    tags += [(273, 4, 200), (277, 3, samples), (278, 3, 4), (279, 4, 64 * samples), (339, 3, 3)]
    data = order + struct.pack(f"{kind}HIH", 42, 8, len(tags))
    for tag, type_, value in tags:
        many = samples if tag in (258, 339) else 1
        held = struct.pack(f"{kind}I", value)
        if many > 2:
            held = struct.pack(f"{kind}I", 160 if tag == 258 else 180)
        elif type_ == 3:
            held = struct.pack(f"{kind}HH", value, value)
        data += struct.pack(f"{kind}HHI", tag, type_, many) + held
    data = data.ljust(160, b"\0") + struct.pack(f"{kind}4H", 32, 32, 32, 32)
    data = data.ljust(180, b"\0") + struct.pack(f"{kind}4H", 3, 3, 3, 3)
    numbers = np.linspace(0, 1, 16 * samples).astype(f"{kind}f4")
    return data.ljust(200, b"\0") + numbers.tobytes()


@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_a_tiff_of_floating_point_is_read_or_named(order):
    assert images.load(float_tiff(order, 1)).getextrema() == ((0, 255),) * 3
    with pytest.raises(images.ImageError, match="a TIFF with floating-point colors"):
        images.load(float_tiff(order, 3))


def test_a_file_that_was_read_before_is_not_called_empty():
    file = io.BytesIO(float_tiff(b"II", 1))
    assert images.load(file).size == (4, 4)
    with pytest.raises(images.ImageError, match=r"read to its end before; call its seek\(0\)"):
        images.load(file)
    with pytest.raises(images.ImageError, match="is empty"):
        images.load(io.BytesIO())


def test_a_file_that_was_read_in_part_is_told_so(photo):
    file = io.BytesIO(encoded(photo, "JPEG"))
    file.read(10)
    with pytest.raises(images.ImageError, match=r"read in part before; call its seek\(0\)"):
        images.load(file)


@pytest.mark.parametrize("form, words", [("ICO", "an icon"), ("DDS", "a DirectDraw texture")])
def test_other_formats_are_refused_by_their_names(form, words):
    with pytest.raises(images.ImageError, match=f"is {words}; expected a photo as JPEG"):
        images.load(encoded(Image.new("RGB", (16, 16)), form))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_gray_profile_counts_with_and_without_alpha(mode):
    """A linear gray of 55 is one of 128 in sRGB."""
    gray = Image.new("L", (8, 8), 55)
    if mode == "LA":
        gray.putalpha(255)
    found = images.load(encoded(gray, "PNG", icc_profile=linear_gray_profile())).getpixel((3, 3))
    assert all(abs(level - 128) <= 2 for level in found)


def linear_gray_profile():
    """A minimal ICC profile of grays in linear light."""
    curve = b"curv" + bytes(8)  # no points: linear
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"g\0" + bytes(78)
    parts = {b"desc": text, b"wtpt": white, b"kTRC": curve}
    tags, body, at = b"", b"", 132 + 12 * len(parts)
    for name, part in parts.items():
        part = part.ljust(-(-len(part) // 4) * 4, b"\0")
        tags += struct.pack(">4sII", name, at + len(body), len(part))
        body += part
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + tags + body

"""Files that people really upload, broken and odd ones, each with what should become of it."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

SIZE = (64, 48)  # of every picture that opens, unless its name says otherwise


def picture(size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture with another colour in each corner: red, green, blue and yellow."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    corners = ((220, 40, 40), (40, 200, 60), (40, 60, 220), (230, 220, 50))
    weights = ((1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down)
    pixels = sum(w[..., None] * np.array(c) for w, c in zip(weights, corners, strict=True))
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options) -> bytes:
    """The image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few bytes that declares a huge size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )


def interlaced_png(image: Image.Image) -> bytes:
    """The RGB image as an Adam7 PNG, which Pillow reads but does not write."""
    pixels = np.asarray(image)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    rows = b""
    for y, x, step_y, step_x in (*passes, (1, 0, 2, 1)):
        part = pixels[y::step_y, x::step_x]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    header = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def corrupt_png(data: bytes) -> bytes:
    """A PNG with a byte of its compressed pixels changed, so that a checksum fails."""
    at = data.index(b"IDAT") + 20
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def make_odd_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Write the inputs into a folder; name -> (path, "ok" if it should open, else "refused")."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    photo = picture()
    alpha = photo.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(SIZE))
    grey = photo.convert("L")
    wide = np.asarray(grey).astype(np.uint16) * 257
    jpeg = encoded(photo, "JPEG", quality=95)
    png = encoded(photo, "PNG")
    palette = photo.quantize(16)
    palette.info["transparency"] = 0
    frames = [photo, photo.transpose(Image.Transpose.ROTATE_180)]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = random.Random(1).randbytes(3000)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.jpg", jpeg)
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 200
    svg = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'

    animated = {"save_all": True, "append_images": frames[1:], "duration": 100}
    opens = {
        "one_pixel.png": encoded(picture((1, 1)), "PNG"),
        "one_pixel.jpg": encoded(picture((1, 1)), "JPEG"),
        "wide_20000x3.png": encoded(picture((20_000, 3)), "PNG"),
        "tall_3x20000.jpg": encoded(picture((3, 20_000)), "JPEG"),
        "animated.gif": encoded(frames[0], "GIF", **animated),
        "animated.webp": encoded(frames[0], "WEBP", lossless=True, **animated),
        "animated.png": encoded(frames[0], "PNG", **animated),
        "pages.tiff": encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "plain.bmp": encoded(photo, "BMP"),
        "plain.avif": encoded(photo, "AVIF", quality=95),
        "plain.webp": encoded(photo, "WEBP", quality=95),
        "deflate.tif": encoded(photo, "TIFF", compression="tiff_deflate"),
        "grey16.png": encoded(Image.fromarray(wide), "PNG"),
        "grey16.tiff": encoded(Image.fromarray(wide), "TIFF"),
        "grey32.tiff": encoded(Image.fromarray(wide.astype(np.int32)), "TIFF"),
        "float.tiff": encoded(Image.fromarray((wide / 65535).astype(np.float32)), "TIFF"),
        "grey.jpg": encoded(grey, "JPEG", quality=95),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG", quality=95),
        "cmyk.tiff": encoded(photo.convert("CMYK"), "TIFF"),
        "palette.png": encoded(photo.quantize(256), "PNG"),
        "palette_transparent.png": encoded(palette, "PNG", transparency=0),
        "alpha.png": encoded(alpha, "PNG"),
        "alpha.webp": encoded(alpha, "WEBP", lossless=True),
        "grey_alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "one_bit.png": encoded(photo.convert("1"), "PNG"),
        "interlaced.png": interlaced_png(photo),
        "progressive.jpg": encoded(photo, "JPEG", progressive=True, quality=95),
        "really_a_png.jpg": png,
        "really_a_jpeg.png": jpeg,
        "really_a_jpeg": jpeg,
        "really_a_jpeg.txt": jpeg,
        "name with spaces and ümläut.jpg": jpeg,
        "rotated_exif.jpg": encoded(
            photo.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=with_orientation(6)
        ),
        "rotated_exif.png": encoded(
            photo.transpose(Image.Transpose.ROTATE_180), "PNG", exif=with_orientation(3)
        ),
        "broken_exif.jpg": encoded(photo, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage"),
        "odd_orientation.jpg": encoded(photo, "JPEG", exif=with_orientation(99)),
        "corrupt_icc.jpg": encoded(photo, "JPEG", icc_profile=srgb[:100] + noise[:300]),
        "srgb_icc.jpg": encoded(photo, "JPEG", icc_profile=srgb),
        "trailing_bytes.jpg": jpeg + noise,
    }
    refused = {
        "empty.jpg": b"",
        "truncated.jpg": jpeg[:-100],
        "truncated.png": png[: len(png) // 2],
        "truncated.gif": encoded(photo, "GIF")[:900],
        "truncated.webp": opens["plain.webp"][:-40],
        "truncated.avif": opens["plain.avif"][:-40],
        "truncated.bmp": opens["plain.bmp"][:2000],
        "header_only.jpg": jpeg[:20],
        "header_only.png": png[:30],
        "corrupt.png": corrupt_png(png),
        "bomb.png": png_bomb(),
        "bomb_100_megapixels.png": png_bomb(10_000, 10_000),
        "text.jpg": b"This is not a photo, it only says so.\n" * 40,
        "huge_text.png": b"lorem ipsum dolor sit amet\n" * 200_000,
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "drawing.svg": svg.encode(),
        "drawing.png": b"\xef\xbb\xbf" + svg.encode(),
        "photo.heic": heic,
        "photo_heic.jpg": heic,
        "video.mp4": struct.pack(">I", 24) + b"ftypisom\0\0\2\0isommp41" + noise,
        "document.pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF",
        "archive.zip": archive.getvalue(),
        "noise.jpg": b"\0" + noise,
        "nul.jpg": b"\0" * 5000,
        "magic_then_noise.jpg": b"\xff\xd8\xff\xe0" + noise,
        "magic_then_noise.webp": b"RIFF\0\0\x0b\xb8WEBPVP8 " + noise,
    }
    inputs = {}
    for files, expected in ((opens, "ok"), (refused, "refused")):
        for name, data in files.items():
            (folder / name).write_bytes(data)
            inputs[name] = (folder / name, expected)

    (folder / "folder.jpg").mkdir(exist_ok=True)
    inputs["folder.jpg"] = (folder / "folder.jpg", "refused")
    inputs["missing.jpg"] = (folder / "missing.jpg", "refused")
    links = {"passwords.jpg": Path("/etc/passwd"), "dangling.jpg": folder / "nowhere.jpg"}
    for name, target in links.items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(target)
        inputs[name] = (link, "refused")
    return inputs

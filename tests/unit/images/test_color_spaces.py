"""Photos without an ICC profile whose files say their colors by codes: Display P3, BT.2020, HDR."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.fixtures.odd_inputs import encoded, picture, png_chunk, with_orientation
from toonify import images
from toonify.images import color_spaces
from toonify.images.color_codes import read_color_codes
from toonify.images.color_spaces import (
    BT709,
    BT2020,
    DISPLAY_P3,
    HLG,
    LINEAR,
    PQ,
    SRGB,
    UNKNOWN,
)

# sRGB's red, green and blue, as browsers write them in Display P3, and by BT.2087 in BT.2020.
P3_OF = {(255, 0, 0): (234, 51, 35), (0, 255, 0): (117, 251, 76), (0, 0, 255): (0, 0, 245)}
BT2020_OF = {(255, 0, 0): (207, 74, 35), (0, 255, 0): (155, 246, 84), (0, 0, 255): (59, 28, 243)}
SDR = [(DISPLAY_P3, SRGB, P3_OF), (DISPLAY_P3, BT709, P3_OF), (BT2020, SRGB, BT2020_OF)]
# Codes of a sheet of white paper (203 nits) and of black, by BT.2408.
PAPER = {PQ: 148, HLG: 191}


def with_cicp(png, *codes):
    """The PNG with a cICP chunk: primaries, transfer, and whether the range is full."""
    full = codes[2] if len(codes) > 2 else 1
    return png[:33] + png_chunk(b"cICP", bytes([*codes[:2], 0, full])) + png[33:]


def with_nclx(data, *codes):
    """The AVIF or HEIC with other primaries and another transfer in its nclx box."""
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", *codes) + data[at + 4 :]


def file_of(form, image, *codes):
    """The image as a file of `form` with these codes."""
    if form == "PNG":
        return with_cicp(encoded(image, "PNG"), *codes)
    if form == "HEIF":
        pytest.importorskip("pillow_heif")
        assert "HEIF" in images.formats.accepted_formats()
    return with_nclx(encoded(image, form, quality=100), *codes)


def loaded(form, color, *codes):
    """The middle pixel of a flat image of this color with these codes."""
    return images.load(file_of(form, Image.new("RGB", (64, 64), color), *codes)).getpixel((32, 32))


def near(found, expected, tolerance=4):
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= tolerance


@pytest.mark.parametrize("form", ["PNG", "AVIF", "HEIF"])
@pytest.mark.parametrize("primaries, transfer, table", SDR)
def test_wide_colors_become_srgb(form, primaries, transfer, table):
    # Near black a level of the coded color is five of the result.
    tolerance = 5 if form == "PNG" else 16
    for srgb, wide in table.items():
        assert near(loaded(form, wide, primaries, transfer), srgb, tolerance), srgb
    assert near(loaded(form, (128, 128, 128), primaries, transfer), (128, 128, 128))


@pytest.mark.parametrize("form", ["PNG", "AVIF", "HEIF"])
@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("primaries", [BT2020, DISPLAY_P3, UNKNOWN])
def test_hdr_keeps_paper_bright_and_black_black(form, primaries, transfer):
    black, paper, peak = (
        loaded(form, (code,) * 3, primaries, transfer) for code in (0, PAPER[transfer], 255)
    )
    assert max(black) <= 4 and 225 < min(paper) <= max(paper) < 250 and min(peak) >= 250


def test_hdr_keeps_the_colors_of_what_is_dim():
    """Half of the paper's light in sRGB's red stays red, as the roll-off starts above it."""
    linear = 0.5 * color_spaces._to_xyz(BT709)[:, 0]
    wide = np.linalg.inv(color_spaces._to_xyz(BT2020)) @ linear
    table = color_spaces._light(PQ, 8, True)
    code = np.abs(table[:, None] - wide[None]).argmin(axis=0).astype(np.uint8)
    red = color_spaces.to_srgb(code[None, None], BT2020, PQ)[0, 0]
    assert near(map(int, red), (188, 0, 0), 12)


def test_bt2020_becomes_bt709_as_in_bt2087():
    table = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert np.abs(color_spaces._to_bt709(BT2020) - table).max() < 2e-4
    for primaries in color_spaces._PRIMARIES:  # white stays white
        assert np.abs(color_spaces._to_bt709(primaries).sum(axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize("form", ["PNG", "AVIF"])
def test_srgb_and_unknown_codes_change_nothing(form):
    photo = picture()
    for codes in ((BT709, SRGB), (BT709, BT709), (UNKNOWN, UNKNOWN), (200, SRGB), (BT709, 200)):
        plain = encoded(photo, form)
        coded = with_cicp(plain, *codes) if form == "PNG" else with_nclx(plain, *codes)
        assert images.load(coded).tobytes() == images.load(plain).tobytes(), codes


def test_a_narrow_range_is_stretched():
    assert loaded("PNG", (16, 235, 126), BT709, SRGB, 0) == (0, 255, 128)
    assert near(loaded("PNG", (140,) * 3, BT2020, PQ, 0), loaded("PNG", (145,) * 3, BT2020, PQ))


def test_linear_light():
    assert near(loaded("PNG", (55, 55, 55), BT709, LINEAR), (128, 128, 128))


def swapped_profile():
    """An sRGB profile with red and blue exchanged."""
    table = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = table.index(b"rXYZ"), table.index(b"bXYZ")
    table[red : red + 4], table[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(table)


def test_cicp_goes_before_a_profile_and_a_profile_before_nclx():
    photo, profile = Image.new("RGB", (64, 64), (234, 51, 35)), swapped_profile()
    png = with_cicp(encoded(photo, "PNG", icc_profile=profile), DISPLAY_P3, SRGB)
    assert near(images.load(png).getpixel((32, 32)), (255, 0, 0))
    png = with_cicp(encoded(photo, "PNG", icc_profile=profile), UNKNOWN, UNKNOWN)
    assert near(images.load(png).getpixel((32, 32)), (35, 51, 234))
    avif = encoded(photo, "AVIF", quality=100, icc_profile=profile)
    if b"colrnclx" in avif:
        avif = with_nclx(avif, DISPLAY_P3, SRGB)
    assert near(images.load(avif).getpixel((32, 32)), (35, 51, 234), 6)


def test_transparency_turning_gray_and_palette_survive_the_codes():
    codes = (DISPLAY_P3, SRGB)
    clear = Image.new("RGBA", (8, 8), (234, 51, 35, 0))
    clear.paste((234, 51, 35, 255), (0, 0, 4, 8))
    png = with_cicp(encoded(clear, "PNG", exif=with_orientation(2)), *codes)
    photo = images.load(png)
    assert near(photo.getpixel((7, 0)), (255, 0, 0)) and photo.getpixel((0, 0)) == (255,) * 3
    kept = images.load(png, alpha=True)
    assert kept.mode == "RGBA" and kept.getpixel((0, 0))[3] == 0
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 234, 51, 35])
    photo = images.load(with_cicp(encoded(palette, "PNG"), *codes))
    assert near(photo.getpixel((3, 3)), (255, 0, 0))
    deep = Image.fromarray(np.full((8, 8), 148 * 257, np.uint16))
    assert min(images.load(with_cicp(encoded(deep, "PNG"), BT2020, PQ)).getpixel((3, 3))) > 225


def test_large_photos_are_converted_in_strips(monkeypatch):
    png = with_cicp(encoded(picture((50, 41)), "PNG"), DISPLAY_P3, SRGB)
    whole = images.load(png)
    monkeypatch.setattr(images.io, "_STRIP_PIXELS", 200)
    assert images.load(png).tobytes() == whole.tobytes() != picture((50, 41)).tobytes()


def test_a_photo_that_pillow_opened_has_the_codes_of_its_file(tmp_path):
    path = tmp_path / "p3.png"
    path.write_bytes(file_of("PNG", Image.new("RGB", (8, 8), (234, 51, 35)), DISPLAY_P3, SRGB))
    with Image.open(path) as photo:
        assert near(images.load(photo).getpixel((3, 3)), (255, 0, 0))
        copy = photo.copy()
    path.unlink()
    assert images.load(copy).getpixel((3, 3)) == (234, 51, 35)


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heif_of(primary, owned, references=b"", version=0):
    """A HEIF's boxes around nothing: an ICC profile is property 1, P3 is 2, and PQ is 3."""
    colors = [b"prof" + bytes(40), struct.pack(">4sHHHB", b"nclx", 12, 13, 6, 128)]
    colors.append(struct.pack(">4sHHHB", b"nclx", 9, 16, 9, 128))
    form = "H" if version == 0 else "I"
    table = struct.pack(">4BI", version, 0, 0, 0, len(owned))
    for item, numbers in owned.items():
        table += struct.pack(f">{form}B", item, len(numbers)) + bytes(0x80 | n for n in numbers)
    boxes = box(b"ipco", *(box(b"colr", color) for color in colors)), box(b"ipma", table)
    pitm = box(b"pitm", struct.pack(f">4B{form}", version, 0, 0, 0, primary))
    iref = box(b"iref", bytes([version, 0, 0, 0]), references) if references else b""
    meta = box(b"meta", bytes(4), box(b"iprp", *boxes), iref, pitm)
    return box(b"ftyp", b"heic", bytes(4), b"heicmif1") + meta


@pytest.mark.parametrize("version", [0, 1])
def test_the_codes_of_the_primary_image_count(version):
    """Gain maps and thumbnails have codes of their own."""
    owned = {7: [3], 5: [1], 4: [2], 3: [], 2: [0, 99]}
    found = [read_color_codes(heif_of(item, owned, version=version)) for item in (7, 5, 4, 3, 2, 1)]
    assert found == [(9, 16, True), None, (12, 13, True), None, None, None]
    ids = struct.pack(">HHHH", 3, 2, 4, 7) if version == 0 else struct.pack(">IHII", 3, 2, 4, 7)
    tiles = box(b"dimg", ids)
    assert read_color_codes(heif_of(3, owned, tiles, version)) == (12, 13, True)
    assert read_color_codes(heif_of(1, owned, tiles, version)) is None


def test_damaged_codes_are_no_codes():
    png = with_cicp(encoded(picture(), "PNG"), DISPLAY_P3, SRGB)
    avif = encoded(picture(), "AVIF")
    heif = heif_of(3, {3: []}, box(b"dimg", struct.pack(">HHH", 3, 60_000, 4)))
    for data in (png, avif, heif):
        whole = read_color_codes(data)
        assert all(read_color_codes(data[:end]) in (None, whole) for end in range(400))
    rng = np.random.default_rng(0)
    for data in (png[:80], avif[:400], heif):
        for _ in range(300):
            noisy = bytearray(data)
            noisy[int(rng.integers(8, len(data)))] = int(rng.integers(256))
            read_color_codes(bytes(noisy))
    for data in (b"", b"\x89PNG", png[:8], b"\0\0\0\x08ftyp", b"GIF89a"):
        assert read_color_codes(data) is None


# gAMA and cHRM of PNG ---------------------------------------------------------------------------

D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
SRGB_POINTS = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
P3_POINTS = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_POINTS = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))


def with_gamma(png, gamma=None, points=None, white=D65):
    """The PNG with the chunks gAMA and cHRM."""
    chunks = b""
    if gamma is not None:
        chunks += png_chunk(b"gAMA", struct.pack(">I", round(gamma * 1e5)))
    if points is not None:
        numbers = [round(n * 1e5) for point in (white, *points) for n in point]
        chunks += png_chunk(b"cHRM", struct.pack(">8I", *numbers))
    return png[:33] + chunks + png[33:]


def gamma_loaded(color, *tags, mode="RGB", **more):
    data = with_gamma(encoded(Image.new(mode, (8, 8), color), "PNG"), *tags, **more)
    return images.load(data).getpixel((4, 4))


@pytest.mark.parametrize(
    "gamma, gray",
    [(1.0, 188), (1 / 1.8, 147), (1 / 2.6, 112)],  # linear, old Macs, cinema
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_gamma_of_a_png_is_followed(gamma, gray, mode):
    color = (128,) * 3 if mode == "RGB" else 128
    assert near(gamma_loaded(color, gamma, SRGB_POINTS, mode=mode), (gray,) * 3, 1)


@pytest.mark.parametrize(
    "points, wide, srgb",
    [
        (P3_POINTS, (234, 51, 35), (255, 0, 0)),
        (P3_POINTS, (117, 251, 76), (0, 255, 0)),
        (ADOBE_POINTS, (219, 0, 0), (255, 0, 0)),  # sRGB's red in Adobe RGB, as Photoshop has it
        (ADOBE_POINTS, (144, 255, 60), (0, 255, 0)),
    ],
)
def test_the_primaries_of_a_png_are_followed(points, wide, srgb):
    assert near(gamma_loaded(wide, 0.45455, points), srgb, 12)


def test_the_white_of_a_png_stays_white():
    for white in (D65, D50, (0.30, 0.31)):
        assert near(gamma_loaded((255,) * 3, 0.45455, ADOBE_POINTS, white=white), (255,) * 3, 1)


def test_gamma_and_primaries_leave_transparency():
    data = encoded(Image.new("RGBA", (8, 8), (128, 128, 128, 100)), "PNG")
    found = images.load(with_gamma(data, 1.0, SRGB_POINTS), alpha=True).getpixel((4, 4))
    assert near(found, (188, 188, 188, 100), 1)


@pytest.mark.parametrize(
    "tags",
    [
        (0.45455, SRGB_POINTS),  # sRGB itself, as many programs write it
        (0.45, [(0.64, 0.33), (0.3, 0.595), (0.155, 0.062)]),
        (1.0, None),  # browsers follow the two of them or neither
        (None, P3_POINTS),
        (0.0, SRGB_POINTS),
        (50.0, SRGB_POINTS),
        (1.0, [(0.3, 0.3)] * 3),  # no triangle
        (1.0, [(0.64, 0.0), (0.3, 0.6), (0.15, 0.06)]),
    ],
)
def test_what_says_nothing_of_gamma_changes_nothing(tags):
    plain = encoded(picture(), "PNG")
    assert images.load(with_gamma(plain, *tags)).tobytes() == images.load(plain).tobytes()


@pytest.mark.parametrize("before", ["sRGB", "iCCP", "cICP"])
def test_gamma_comes_last(before):
    photo = picture()
    profile = swapped_profile() if before == "iCCP" else None
    plain = encoded(photo, "PNG", icc_profile=profile) if profile else encoded(photo, "PNG")
    if before == "sRGB":
        plain = plain[:33] + png_chunk(b"sRGB", bytes(1)) + plain[33:]
    if before == "cICP":
        plain = with_cicp(plain, DISPLAY_P3, SRGB)
    tagged = with_gamma(plain, 1.0, P3_POINTS)
    assert images.load(tagged).tobytes() == images.load(plain).tobytes()

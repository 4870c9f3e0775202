"""Images say that a network has drawn them, and nothing about who sent the photo."""

import io

import pytest
from PIL import Image, PngImagePlugin

from tests.fixtures.mark_readers import DRAWN, GENERATED, exiftool, read_source_type
from toonify import images
from toonify.images import marks
from toonify.pipelines.animegan import AnimeGANPipeline
from toonify.pipelines.options import DrawOptions

HOLDS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff")
SECRETS = ("Jane", "Pixel", "48.858", "GPS", "private-folder", "2024:01:02")
FOREIGN = '<x:xmpmeta xmlns:x="adobe:ns:meta/">by Jane</x:xmpmeta>'


@pytest.fixture
def private(tmp_path, photo):
    """A photo whose file says who, where and by what it was taken, in every way that it can."""
    about = Image.Exif()
    about[0x010F], about[0x0110] = "Google", "Pixel 12"  # maker, model
    about[0x013B], about[0x010E] = "Jane Doe", "Jane at private-folder"  # artist, description
    about.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"  # taken at
    about.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)})
    folder = tmp_path / "private-folder"
    folder.mkdir()
    path = folder / "Jane Doe 48.858.jpg"
    photo.resize((96, 96)).save(path, exif=about, comment="Jane", xmp=FOREIGN.encode())
    return path


@pytest.fixture(scope="module")
def pipeline(toy_style):
    return AnimeGANPipeline.from_pretrained(toy_style, device="cpu")


@pytest.mark.parametrize("suffix", HOLDS)
@pytest.mark.parametrize("source_type, uri", [(marks.DRAWN, DRAWN), (marks.GENERATED, GENERATED)])
def test_files_say_what_images_are(tmp_path, suffix, source_type, uri, photo):
    image = marks.mark(photo.resize((48, 32)), source_type)
    marked = images.save(image, tmp_path / f"marked{suffix}")
    plain = images.save(image, tmp_path / f"plain{suffix}", mark=False)
    assert read_source_type(marked) == uri
    assert read_source_type(plain) is None and b"DigitalSource" not in plain.read_bytes()
    with Image.open(marked) as one, Image.open(plain) as other:
        assert one.mode == other.mode and one.tobytes() == other.tobytes()
    assert images.encode(image, suffix) == marked.read_bytes()


def test_bmp_has_no_room_for_it(tmp_path):
    image = marks.mark(Image.new("RGB", (8, 8), "red"), marks.DRAWN)
    assert read_source_type(images.save(image, tmp_path / "a.bmp")) is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_drawings_say_nothing_of_the_photo(tmp_path, suffix, private, pipeline):
    drawn = pipeline(private).save(tmp_path / f"toon{suffix}")
    assert read_source_type(drawn) == DRAWN
    data = drawn.read_bytes()
    assert b"Exif" not in data and b"EXIF" not in data and b"eXIf" not in data
    for secret in SECRETS:
        assert secret.encode() not in data, secret
    for source in (private.read_bytes(), Image.open(private)):
        assert read_source_type(images.encode(pipeline(source).image, suffix)) == DRAWN


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_exiftool_reads_the_same(tmp_path, suffix, private, pipeline):
    before = exiftool(private)
    assert before["IFD0:Artist"] == "Jane Doe" and "GPS:GPSLatitude" in before
    tags = exiftool(pipeline(private).save(tmp_path / f"toon{suffix}"))
    assert tags.pop("XMP-iptcExt:DigitalSourceType") == DRAWN
    assert not [name for name in tags if name.startswith(("GPS", "IFD", "Exif", "XMP", "ICC"))]
    for secret in SECRETS:
        assert secret not in str(tags), secret


def test_pixels_are_the_same_without_the_mark(private, pipeline):
    marked, plain = pipeline(private).image, pipeline(private, mark=False).image
    assert marks.read_mark(marked) == marks.DRAWN and marks.read_mark(plain) is None
    assert marked.tobytes() == plain.tobytes()
    assert not plain.info


def test_every_result_says_so_and_the_photo_does_not(photo, pipeline, tmp_path, make_style):
    photo = photo.copy()
    assert marks.read_mark(pipeline(photo, strength=0.0).image) == marks.DRAWN
    faces = AnimeGANPipeline.from_pretrained(make_style(tmp_path / "faces", "face"), device="cpu")
    empty = Image.new("RGB", (64, 64), "gray")
    assert faces(empty).image.tobytes() == empty.tobytes()
    assert marks.read_mark(faces(empty).image) == marks.DRAWN
    assert marks.read_mark(faces(empty, mark=False).image) is None
    assert marks.read_mark(empty) is marks.read_mark(photo) is None
    assert marks.read_mark(faces(photo).image) == marks.DRAWN


def test_copies_keep_the_mark_and_photos_never_have_one(tmp_path):
    image = marks.mark(Image.new("RGB", (32, 32), "red"), marks.DRAWN)
    image.paste("blue", (3, 3, 9, 9))
    copies = [image.copy(), image.resize((9, 9)), image.crop((0, 0, 8, 8)), image.convert("RGBA")]
    copies.append(images.grid([image, image]))
    for copy in copies:
        assert read_source_type(images.encode(copy, alpha=True)) == DRAWN
    # A drawing that is opened as a photo is a photo; a drawing that says so can be saved again.
    path = images.save(image, tmp_path / "a.png")
    assert images.load(path).info == {} and images.load(image).info == {}
    with Image.open(path) as opened:
        assert read_source_type(images.encode(opened, ".jpg")) == DRAWN


def test_xmp_by_other_programs_is_dropped():
    image = Image.new("RGB", (8, 8))
    image.info = {marks.KEY: FOREIGN, "xmp": FOREIGN.encode()}
    assert marks.read_mark(image) is None
    for suffix in HOLDS:
        assert b"Jane" not in images.encode(image, suffix)


def test_a_marked_image_is_drawn_as_any_other():
    """Pillow itself writes the mark nowhere, and Gradio's PNGs have it as Pillow reads it."""
    image = marks.mark(Image.new("RGB", (8, 8), "red"), marks.GENERATED)
    for form in ("PNG", "JPEG", "WEBP"):
        plain, encoded = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(plain, form)
        image.save(encoded, form)
        assert encoded.getvalue() == plain.getvalue()
    about, encoded = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_text(marks.KEY, image.info[marks.KEY])  # as gradio.processing_utils does
    image.save(encoded, "PNG", pnginfo=about)
    assert encoded.getvalue() == images.encode(image)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="source_type='ai': expected one of composite"):
        marks.mark(Image.new("RGB", (8, 8)), "ai")
    with pytest.raises(images.ImageError, match=r"suffix is '\.svg'; expected one of \.jpg"):
        images.encode(Image.new("RGB", (8, 8)), ".svg")


def test_the_option_is_one_of_all_drawings():
    assert DrawOptions().source_type() == marks.DRAWN
    assert DrawOptions(mark=False).source_type() is None
    assert DrawOptions(strength=0.0).source_type() == marks.DRAWN

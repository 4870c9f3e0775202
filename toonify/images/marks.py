"""What a picture says of its origin: XMP with IPTC's `DigitalSourceType`, and nothing else.

An image that a network has drawn carries the XMP in `info`, under the name that Pillow gives it in
PNG files. Copies, crops and other sizes keep it there, and `images.save` writes it. Gradio writes
it into the PNGs that it makes of images.
"""

from __future__ import annotations

import functools
from typing import Any

from PIL import Image, PngImagePlugin

# Terms of https://cv.iptc.org/newscodes/digitalsourcetype/
DRAWN = "compositeWithTrainedAlgorithmicMedia"  # a photo of which a network has drawn something
GENERATED = "trainedAlgorithmicMedia"  # a picture of nobody, all of it by a network
SOURCE_TYPES = (DRAWN, GENERATED)

KEY = "XML:com.adobe.xmp"
_TIFF_XMP = 700
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{uri}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def make_uri(source_type: str) -> str:
    """The address by which IPTC names a source type.

    Args:
        source_type: one of `SOURCE_TYPES`.

    Raises:
        ValueError: another word.
    """
    if source_type not in SOURCE_TYPES:
        raise ValueError(f"source_type={source_type!r}: expected one of {', '.join(SOURCE_TYPES)}")
    return f"http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}"


@functools.cache
def make_xmp(source_type: str) -> str:
    """The XMP that names a source type.

    Args:
        source_type: one of `SOURCE_TYPES`.

    Raises:
        ValueError: another word.
    """
    return _XMP.format(uri=make_uri(source_type))


def mark(image: Image.Image, source_type: str | None) -> Image.Image:
    """Makes an image say what it is; returns the same image.

    Args:
        image: an image, whose pixels stay as they are.
        source_type: one of `SOURCE_TYPES`, or None for an image that says nothing.

    Raises:
        ValueError: another word.

    Example:
        >>> face = mark(Image.new("RGB", (8, 8)), GENERATED)
        >>> read_mark(face.resize((4, 4)))
        'trainedAlgorithmicMedia'
    """
    image.info.pop(KEY, None)
    if source_type is not None:
        image.info[KEY] = make_xmp(source_type)
    return image


def read_mark(image: Image.Image) -> str | None:
    """What an image says that it is, one of `SOURCE_TYPES`; None if it says nothing.

    XMP by other programs counts as nothing: it may say more.
    """
    given = image.info.get(KEY)
    return next((known for known in SOURCE_TYPES if given == make_xmp(known)), None)


def encoder_options(source_type: str | None, form: str) -> dict[str, Any]:
    """The options by which Pillow writes the XMP into a file.

    Args:
        source_type: one of `SOURCE_TYPES`, or None for no XMP.
        form: Pillow's name of the format. BMP has no room for XMP.
    """
    if source_type is None or form == "BMP":
        return {}
    text = make_xmp(source_type)
    if form == "PNG":
        about = PngImagePlugin.PngInfo()
        about.add_itxt(KEY, text)
        return {"pnginfo": about}
    if form == "TIFF":
        return {"tiffinfo": {_TIFF_XMP: text.encode()}}
    return {"xmp": text.encode()}

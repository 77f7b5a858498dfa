"""Images for the vision models: read out of content blocks, checked by their bytes, and brought to size.

Llama 3.2 11B/90B and Llama 4 take raw base64 (no data URL) in the request's ``images``. What an image is, is
read from its first bytes, never from a name or a declared type: Bedrock refuses a wrong declaration. Nothing
is ever fetched: a remote URL in a prompt is refused, because text that reaches a model must not make this
library open connections.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
from dataclasses import dataclass
from typing import Any

from llama_bedrock._extras import require

MAX_SIDE = 1120
"""Longest side in pixels that Llama 3.2 Vision on Bedrock takes (four tiles of 560; larger ones were refused
at launch, aws-samples/generative-ai-use-cases#664)."""

MAX_PIXELS = 100_000_000
"""Larger pictures are refused unread, whatever their file size: they would need gigabytes to decode."""

_DECODE_ERRORS = (struct.error, IndexError)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image of a turn.

    Attributes:
        data: The file, in base64 without line breaks or a data-URL prefix.
        mime_type: ``image/png``, ``image/jpeg``, ``image/gif`` or ``image/webp``, as its bytes say.
        width: Pixels.
        height: Pixels.
    """

    data: str
    mime_type: str
    width: int
    height: int


def read_image(data: str | bytes, where: str) -> ImagePart:
    """Check an image and find out its type and size.

    Args:
        data: The bytes of the file, their base64, or a ``data:`` URL.
        where: Name of the place, for errors.

    Raises:
        ValueError: Not base64, not a png, jpeg, gif or webp, cut short, larger than :data:`MAX_PIXELS`, or a
            URL that would have to be fetched.
    """
    raw = data if isinstance(data, bytes) else _decode(data, where)
    mime_type = mime_type_of(raw)
    if mime_type is None:
        raise ValueError(f"{where}: the image is not a png, jpeg, gif or webp (judged by its first bytes)")
    try:
        width, height = _SIZES[mime_type](raw)
    except _DECODE_ERRORS:
        raise ValueError(f"{where}: the {mime_type} is cut short or damaged: it has no size") from None
    if width < 1 or height < 1:
        raise ValueError(f"{where}: the {mime_type} says it is {width} × {height} pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{where}: the image has {width} × {height} pixels; "
            f"the limit is {MAX_PIXELS:,} in all, send a smaller one"
        )
    return ImagePart(base64.b64encode(raw).decode("ascii"), mime_type, width, height)


def fit(image: ImagePart) -> ImagePart:
    """Bring an image to at most :data:`MAX_SIDE` pixels a side, keeping its proportions; smaller ones
    unchanged.

    A gif becomes a png of its first frame, other types stay what they are.

    Raises:
        ImportError: It is too large and Pillow (the extra ``vision``) is not installed.
        ValueError: It is too large and cannot be decoded.
    """
    if max(image.width, image.height) <= MAX_SIDE:
        return image
    try:
        pillow = require("PIL.Image", "vision")
        operations = require("PIL.ImageOps", "vision")
    except ImportError as error:
        raise ImportError(
            f"an image has {image.width} × {image.height} pixels, Llama takes {MAX_SIDE} a side: "
            f"make it smaller, or install what does it here. {error}"
        ) from error
    kind = {"image/jpeg": "JPEG", "image/webp": "WEBP"}.get(image.mime_type, "PNG")
    try:
        picture: Any = pillow.open(io.BytesIO(base64.b64decode(image.data)))
        picture = operations.exif_transpose(picture)  # the new file has no EXIF block to say which way is up
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
        if kind == "JPEG" and picture.mode not in ("RGB", "L"):
            picture = picture.convert("RGB")
        out = io.BytesIO()
        picture.save(out, kind, **({"quality": 90} if kind != "PNG" else {}))
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ValueError(
            f"the {image.mime_type} of {image.width} × {image.height} cannot be decoded: {error}"
        ) from error
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return ImagePart(data, f"image/{kind.lower()}", picture.width, picture.height)


def _decode(text: str, where: str) -> bytes:
    payload = text.strip()
    scheme = payload[:8].lower()
    if scheme.startswith("data:"):
        head, comma, payload = payload.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError(f"{where}: a data URL of an image must be of the form data:image/png;base64,…")
    elif scheme.startswith(("http:", "https:", "s3:", "gs:", "file:", "ftp:")):
        raise ValueError(
            f"{where}: remote images are not fetched. Download it and pass the bytes: "
            '{"type": "image", "base64": …, "mime_type": "image/png"}'
        )
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{where}: the image data is neither base64 nor a data URL") from None


def mime_type_of(raw: bytes) -> str | None:
    """The type of a png, jpeg, gif or webp by its first bytes; None for any other file."""
    if raw.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if raw.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    return None


def _png_size(raw: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", raw, 16)  # the IHDR chunk always comes first
    return width, height


def _gif_size(raw: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", raw, 6)
    return width, height


def _jpeg_size(raw: bytes) -> tuple[int, int]:
    """The size stands in the start-of-frame segment; the segments before it say their length."""
    at = 2
    while True:
        while raw[at] == 0xFF:  # fill bytes before a marker
            at += 1
        marker = raw[at]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", raw, at + 4)
            return width, height
        at += 1
        if marker != 0x01 and not 0xD0 <= marker <= 0xD9:  # markers without a segment
            at += int(struct.unpack_from(">H", raw, at)[0])


def _webp_size(raw: bytes) -> tuple[int, int]:
    kind = raw[12:16]
    if len(raw) < 30:
        raise IndexError
    if kind == b"VP8X":
        return 1 + int.from_bytes(raw[24:27], "little"), 1 + int.from_bytes(raw[27:30], "little")
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", raw, 21)[0])
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", raw, 26)
    return width & 0x3FFF, height & 0x3FFF


_SIZES = {"image/png": _png_size, "image/jpeg": _jpeg_size, "image/gif": _gif_size, "image/webp": _webp_size}

"""Images are judged by their bytes, measured without Pillow, and brought to size with it."""

from __future__ import annotations

import base64
import io
import sys

import pytest
from PIL import Image

from llama_bedrock.prompts.images import MAX_SIDE, fit, read_image


def file_of(kind: str, width: int, height: int, mode: str = "RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 1).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options", "mime"),
    [
        ("PNG", "RGB", {}, "image/png"),
        ("PNG", "P", {}, "image/png"),
        ("JPEG", "RGB", {}, "image/jpeg"),
        ("JPEG", "L", {"progressive": True}, "image/jpeg"),
        ("JPEG", "RGB", {"comment": b"x" * 300, "exif": Image.Exif()}, "image/jpeg"),
        ("GIF", "P", {}, "image/gif"),
        ("WEBP", "RGB", {}, "image/webp"),
        ("WEBP", "RGB", {"lossless": True}, "image/webp"),
        ("WEBP", "RGBA", {"exif": b"Exif\0\0"}, "image/webp"),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 300), (1121, 9)])
def test_type_and_size_are_read_from_the_header(kind, mode, options, mime, width, height):
    image = read_image(file_of(kind, width, height, mode, **options), "message 1")
    assert (image.mime_type, image.width, image.height) == (mime, width, height)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_file_cut_in_its_header_is_refused(kind):
    raw = file_of(kind, 40, 40)
    for length in (2, 9):
        with pytest.raises(ValueError, match="message 1: the image"):
            read_image(raw[:length], "message 1")


def test_a_jpeg_without_a_frame_is_refused():
    with pytest.raises(ValueError, match="cut short or damaged"):
        read_image(b"\xff\xd8\xff\xe0\x00\x10JFIF", "message 1")


def test_a_picture_of_a_hundred_million_pixels_is_refused_unread():
    header = bytearray(file_of("PNG", 1, 1))
    header[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="100000 × 100000 pixels"):
        read_image(bytes(header), "message 1")


def test_an_image_within_the_limit_is_sent_as_it_is():
    raw = file_of("PNG", MAX_SIDE, MAX_SIDE)
    image = read_image(raw, "message 1")
    assert fit(image) is image
    assert base64.b64decode(image.data) == raw


@pytest.mark.parametrize(
    ("kind", "mode", "sent"),
    [
        ("PNG", "RGBA", "png"),
        ("JPEG", "RGB", "jpeg"),
        ("JPEG", "CMYK", "jpeg"),
        ("GIF", "P", "png"),
        ("WEBP", "RGB", "webp"),
    ],
)
def test_a_larger_image_is_scaled_down_in_proportion(kind, mode, sent):
    small = fit(read_image(file_of(kind, 2240, 1000, mode), "message 1"))
    again = read_image(small.data, "message 1")
    assert small == again
    assert (again.mime_type, again.width, again.height) == (f"image/{sent}", 1120, 500)


def test_a_photo_keeps_its_way_up_when_it_is_scaled():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    small = fit(read_image(file_of("JPEG", 2000, 1000, exif=exif), "message 1"))
    assert (small.width, small.height) == (560, 1120)


def test_without_pillow_a_large_image_is_refused_with_advice_and_a_small_one_passes(monkeypatch):
    small = read_image(file_of("PNG", 10, 10), "message 1")
    large = read_image(file_of("PNG", 2000, 10), "message 1")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert fit(small) is small
    with pytest.raises(ImportError, match=r"2000 × 10 pixels.*make it smaller.*pip install .*\[vision\]"):
        fit(large)


def test_a_large_image_with_damaged_data_is_refused():
    raw = file_of("PNG", 2000, 2000)
    with pytest.raises(ValueError, match="cannot be decoded"):
        fit(read_image(raw[:200], "message 1"))

"""Files that hold words we cannot read, and what to do about each kind."""

from __future__ import annotations

_CONVERT = "save it as {0}, by hand or with: soffice --convert-to {0}"
_REASONS = {
    suffix: reason
    for suffixes, reason in (
        (".doc .dot", "Word's format of before 2007: " + _CONVERT.format("docx")),
        (".xls .xlt .xlsb", "Excel's binary format: " + _CONVERT.format("xlsx")),
        (".ppt .pps .pot", "PowerPoint's format of before 2007: " + _CONVERT.format("pptx")),
        (".wpd .wps .sxw .abw", "an old word processor's format: " + _CONVERT.format("docx")),
        (".msg .oft .pst .ost", "Outlook's format: save or export it as .eml or .mbox"),
        (".one .onetoc2", "OneNote's format: export its pages as .docx or .pdf"),
        (".pages .numbers", "Apple's format: export it as .docx, .xlsx, .pptx or .pdf"),
        (".vsd .vsdx .pub .mpp", "a format of Office that is not read: export it as .pdf"),
        (".xps .oxps .djvu .ps .eps .chm", "a format that is not read: convert it to .pdf or .html"),
        (".mobi .azw .azw3 .fb2", "an e-book's format that is not read: convert it to .epub"),
        (
            ".png .jpg .jpeg .jpe .gif .webp .bmp .ico .tif .tiff .heic .heif .avif .psd .raw .emf .wmf .jp2",
            "an image: words in it need OCR (readers={…} of load_documents takes one)",
        ),
        (
            ".mp3 .mp4 .m4a .m4v .mov .avi .mkv .wav .flac .ogg .opus .webm .wma .wmv .aac .mpg .mpeg",
            "sound or film: what is said in it needs a transcript",
        ),
        (".zip .tar .tgz .gz .bz2 .xz .zst .7z .rar .iso .dmg .cab", "an archive: unpack it"),
        (
            ".parquet .feather .arrow .orc .avro .h5 .hdf5 .sqlite .sqlite3 .db .mdb .accdb .dbf .sav .dta",
            "a database: export its tables as .csv or .jsonl",
        ),
        (".p7m .gpg .pgp .age", "encrypted: decrypt it first"),
    )
    for suffix in suffixes.split()
}
# Programs, caches, fonts, weights: nobody looks for words in them, so they are left out without a word.
_WITHOUT_WORDS = (
    ".exe .dll .so .dylib .o .a .lib .obj .class .pyc .pyo .pyd .whl .jar .war .egg .apk .deb .rpm .msi "
    ".woff .woff2 .ttf .otf .eot .npy .npz .bin .dat .faiss .pt .pth .onnx .safetensors .gguf .ckpt .wasm "
    ".pdb .pack .idx .ds_store .swp .pkl .pickle .joblib .mo .cur .blend"
)
_NO_DOCUMENTS = frozenset(_WITHOUT_WORDS.split())


def why_unreadable(suffix: str) -> str | None:
    """What a file of a kind that is not read holds, and what to do; None for other kinds.

    Args:
        suffix: In lower case, with its dot.
    """
    return _REASONS.get(suffix)


def is_no_document(suffix: str) -> bool:
    """True for kinds of files that hold no words for people."""
    return suffix in _NO_DOCUMENTS

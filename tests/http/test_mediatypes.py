"""What a file is, by its name and, where that says nothing, by its first bytes."""

import pytest

from skitai.http.mediatypes import BINARY, coding_of_name, type_of_bytes, type_of_name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"), ("a.HTM", "text/html"), ("a.xhtml", "application/xhtml+xml"),
        ("a.css", "text/css"), ("a.js", "text/javascript"), ("a.mjs", "text/javascript"),
        ("a.json", "application/json"), ("a.jsonld", "application/ld+json"),
        ("a.geojson", "application/geo+json"), ("a.webmanifest", "application/manifest+json"),
        ("a.svg", "image/svg+xml"), ("a.svgz", "image/svg+xml"), ("a.avif", "image/avif"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.odt", "application/vnd.oasis.opendocument.text"), ("a.epub", "application/epub+zip"),
        ("a.iso", BINARY), ("a.ics", "text/calendar"), ("a.vcf", "text/vcard"),
        ("a.glb", "model/gltf-binary"),
        ("a.tgz", "application/gzip"), ("a.tar.gz", "application/gzip"), ("dump.csv.gz", "application/gzip"),
        ("a.tar", "application/x-tar"), ("a.tar.bz2", "application/x-bzip2"), ("a.txz", "application/x-xz"),
        ("a.csv.zst", "application/zstd"), ("a.ts", "video/mp2t"),
        ("a.m3u8", "application/vnd.apple.mpegurl"),
        ("a.woff2", "font/woff2"), ("a.wasm", "application/wasm"), ("a.pdf", "application/pdf"),
        ("folder.d/a.png", "image/png"), ("C:a.png", "image/png"),
        ("README", None), ("a.unheard-of", None), (".html", None), ("..html", None), ("a.", None), ("", None),
        ("folder.html/a", None), ("data:text/html,x", None),
    ],
)  # fmt: skip
def test_types_by_name(name, kind):
    """The last extension counts: ``dump.csv.gz`` is gzip. The types are those that IANA has registered."""
    assert type_of_name(name) == kind


def test_only_a_browser_undoes_codings():
    """``.svgz`` is shown only with its coding (SVG 1.1, appendix J.2); other coded files are files."""
    assert coding_of_name("a.svgz") == "gzip"
    assert coding_of_name("a.svg") is coding_of_name("a.js.gz") is coding_of_name("a.tgz") is None


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"", "text/plain"),
        (b"All rights reserved.\r\n\tTab\x0c\x1b[1m", "text/plain"),
        ("한글".encode(), "text/plain"),
        (b"\xfe\xff\0a", "text/plain"),
        (b"\xef\xbb\xbf\0", "text/plain"),
        (b"<!doctype html><script>", "text/plain"),
        (b"\x7fELF\x02\x01\x01\0", BINARY),
        (b"text\0", BINARY),
        (b"\x89PNG\r\n\x1a\n", BINARY),
    ],
)
def test_text_or_binary(begin, kind):
    """By the rules of WHATWG MIME Sniffing, section 7.2; never anything that a browser would run."""
    assert type_of_bytes(begin) == kind

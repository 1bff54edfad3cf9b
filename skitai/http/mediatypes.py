"""The media types of files by the ends of their names, the same on all machines."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

#: What a file is of which nothing is known.
BINARY: Final = "application/octet-stream"

#: How much of a file is looked at, and the bytes that no text has (WHATWG MIME Sniffing, 5.2 and 7.2).
LOOKED_AT: Final = 1445
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_MARKS: Final = (b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf")

#: Types by extension. They come before those of the standard library, which differ between its versions; the
#: machine's own files (``/etc/mime.types``) are not asked.
_TYPES: Final = {
    "application/atom+xml": "atom",
    "application/dash+xml": "mpd",
    "application/epub+zip": "epub",
    "application/geo+json": "geojson",
    "application/gpx+xml": "gpx",
    "application/gzip": "gz tgz taz",
    "application/java-archive": "jar war ear",
    "application/json": "json map topojson",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/msword": "doc dot",
    "application/n-triples": "nt",
    "application/octet-stream": "bin br dat deb dll dmg exe iso img msi msm msp o pyc pyd so",
    "application/ogg": "ogx",
    "application/pdf": "pdf",
    "application/pgp-signature": "sig",
    "application/postscript": "ps eps ai",
    "application/rdf+xml": "rdf",
    "application/rss+xml": "rss",
    "application/rtf": "rtf",
    "application/sql": "sql",
    "application/toml": "toml",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apple.installer+xml": "mpkg",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/vnd.apple.pkpass": "pkpass",
    "application/vnd.debian.binary-package": "udeb",
    "application/vnd.garmin.tcx+xml": "tcx",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/vnd.google-earth.kmz": "kmz",
    "application/vnd.mapbox-vector-tile": "mvt",
    "application/vnd.ms-excel": "xls xlt",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsm",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.ms-outlook": "msg",
    "application/vnd.ms-powerpoint": "ppt pps pot",
    "application/vnd.ms-word.document.macroenabled.12": "docm",
    "application/vnd.oasis.opendocument.chart": "odc",
    "application/vnd.oasis.opendocument.formula": "odf",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.text-template": "ott",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": "ppsx",
    "application/vnd.openxmlformats-officedocument.presentationml.template": "potx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": "xltx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": "dotx",
    "application/vnd.rar": "rar",
    "application/vnd.sqlite3": "db sqlite sqlite3",
    "application/wasm": "wasm",
    "application/x-7z-compressed": "7z",
    "application/x-bittorrent": "torrent",
    "application/x-bzip2": "bz2 tbz tbz2",
    "application/x-cpio": "cpio",
    "application/x-lzip": "lz",
    "application/x-lzma": "lzma",
    "application/x-mobipocket-ebook": "mobi prc",
    "application/x-ndjson": "ndjson jsonl",
    "application/x-rpm": "rpm",
    "application/x-tar": "tar",
    "application/x-x509-ca-cert": "der crt cer",
    "application/x-xz": "xz txz",
    "application/xhtml+xml": "xhtml xht",
    # Not text/xml: its charset parameter would override the encoding that the document declares.
    "application/xml": "xml xsl xsd rng",
    "application/xslt+xml": "xslt",
    "application/yaml": "yaml yml",
    "application/zip": "zip whl",
    "application/zstd": "zst tzst",
    "audio/aac": "aac adts",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "oga ogg opus spx",
    "audio/wav": "wav",
    "audio/x-aiff": "aif aiff aifc",
    "font/collection": "ttc",
    "font/otf": "otf",
    "font/ttf": "ttf",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/apng": "apng",
    "image/avif": "avif avifs",
    "image/bmp": "bmp dib",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg svgz",
    "image/tiff": "tif tiff",
    "image/vnd.adobe.photoshop": "psd",
    "image/vnd.djvu": "djvu djv",
    "image/webp": "webp",
    "image/x-icon": "ico cur",
    "message/rfc822": "eml mht mhtml",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "model/obj": "obj",
    "model/stl": "stl",
    "model/vnd.usdz+zip": "usdz",
    "text/cache-manifest": "appcache",
    "text/calendar": "ics ifb",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html htm shtml",
    "text/javascript": "js mjs cjs",
    "text/markdown": "md markdown mkd",
    "text/n3": "n3",
    "text/plain": "txt text log diff patch py c h cpp hpp java rs go sh bat conf cfg ini properties rst tex"
    " tsx jsx pem asc",
    "text/tab-separated-values": "tsv",
    "text/turtle": "ttl",
    "text/vcard": "vcf vcard",
    "text/vtt": "vtt",
    "video/mp2t": "ts m2ts mts",
    "video/mp4": "mp4 m4v mp4v",
    "video/mpeg": "mpg mpeg mpe",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}  # fmt: skip

_BY_EXTENSION: Final[dict[str, str]] = {
    **mimetypes.MimeTypes(filenames=()).types_map[True],
    **{f".{extension}": kind for kind, extensions in _TYPES.items() for extension in extensions.split()},
}

#: Extensions that say that the file is coded (RFC 9110, section 8.4): only a browser can use it as such.
_CODINGS: Final = {".svgz": "gzip"}


def type_of_name(name: str) -> str | None:
    """Return the media type of a file with that name, or None if its end says nothing.

    It is that of the file as it is: ``dump.csv.gz`` is gzip, whatever is in it.
    """
    return _BY_EXTENSION.get(_extension(name))


def coding_of_name(name: str) -> str | None:
    """Return the content coding in which the file has the type of its name; None for most."""
    return _CODINGS.get(_extension(name))


def type_of_bytes(begin: bytes) -> str:
    """Return text/plain or BINARY for a file that begins with the ``LOOKED_AT`` bytes ``begin``.

    Nothing else is told from them: a page that somebody uploaded must not become HTML.
    """
    if begin.startswith(_MARKS) or _NOT_TEXT.search(begin) is None:
        return "text/plain"
    return BINARY


def _extension(name: str) -> str:
    """Return what follows the last dot, with it, in lower case. A name that only begins with one has none."""
    base = name.rpartition("/")[2]
    stem, dot, extension = base.rpartition(".")
    return f".{extension.lower()}" if dot and stem.strip(".") else ""

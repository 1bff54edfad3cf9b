"""The character encodings that a peer may name, by its labels (WHATWG Encoding Standard, section 4.2).

Python knows a hundred more codecs. Some of them change text (``unicode_escape``, ``utf-7``), and ``punycode``
takes a time that grows with the square: a peer must not be able to ask for those.
"""

from __future__ import annotations

from typing import Final

#: Longer labels than any in the list are not looked up.
_LABEL_MAX: Final = 40

#: Python's codec for each group of labels. ``_`` in a label is the same as ``-``, as for Python.
_LABELS: Final = {
    "utf-8-sig": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "utf-16": "utf-16 ucs-2 unicode csunicode iso-10646-ucs-2",
    "utf-16-le": "utf-16le unicodefeff",
    "utf-16-be": "utf-16be unicodefffe",
    "latin-1": "latin1 l1 csisolatin1 iso-ir-100 iso-8859-1:1987 cp819 ibm819",
    "iso8859-2": "latin2 l2 csisolatin2 iso-ir-101 iso-8859-2:1987",
    "iso8859-3": "latin3 l3 csisolatin3 iso-ir-109 iso-8859-3:1988",
    "iso8859-4": "latin4 l4 csisolatin4 iso-ir-110 iso-8859-4:1988",
    "iso8859-5": "cyrillic csisolatincyrillic iso-ir-144 iso-8859-5:1988",
    "iso8859-6": "arabic csisolatinarabic ecma-114 asmo-708 iso-ir-127 iso-8859-6:1987"
    " iso-8859-6-e iso-8859-6-i csiso88596e csiso88596i",
    "iso8859-7": "greek greek8 csisolatingreek ecma-118 elot-928 iso-ir-126 iso-8859-7:1987 sun-eu-greek",
    "iso8859-8": "hebrew visual logical csisolatinhebrew iso-ir-138 iso-8859-8:1988"
    " iso-8859-8-e iso-8859-8-i csiso88598e csiso88598i",
    "iso8859-9": "latin5 l5 csisolatin5 iso-ir-148 iso-8859-9:1989",
    "iso8859-10": "latin6 l6 csisolatin6 iso-ir-157",
    "iso8859-15": "latin9 l9 csisolatin9",
    "cp866": "ibm866 cp866 866 csibm866",
    "cp874": "windows-874 dos-874 tis-620",
    "mac-roman": "macintosh mac x-mac-roman csmacintosh",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "koi8-r": "koi8-r koi8 koi cskoi8r",
    "koi8-u": "koi8-u koi8-ru",
    # Supersets of what the labels say, as browsers take them.
    "gb18030": "gb18030 gbk x-gbk gb2312 gb-2312 gb-2312-80 chinese csgb2312 csiso58gb231280 iso-ir-58",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "euc-jp x-euc-jp cseucpkdfmtjapanese",
    "iso2022-jp": "iso-2022-jp csiso2022jp",
    "cp932": "shift-jis shiftjis sjis x-sjis windows-31j ms932 ms-kanji csshiftjis",
    "cp949": "euc-kr cseuckr korean windows-949 ks-c-5601-1987 ks-c-5601-1989 ksc5601 ksc-5601 iso-ir-149"
    " csksc56011987",
}


def _by_label() -> dict[str, str]:
    codecs = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
    for number in (*range(1, 12), *range(13, 17)):
        codec = "latin-1" if number == 1 else f"iso8859-{number}"
        codecs.update(dict.fromkeys((f"iso-8859-{number}", f"iso8859-{number}", f"iso8859{number}"), codec))
    for number in range(1250, 1259):
        codecs.update(dict.fromkeys((f"windows-{number}", f"cp{number}", f"x-cp{number}"), f"cp{number}"))
    return codecs


_CODECS: Final = _by_label()


def codec_of(label: str) -> str | None:
    """Return Python's name for the encoding that ``label`` names; None for any other text.

    ``us-ascii`` is none: where it is true, the text is UTF-8, too.
    """
    if len(label) > _LABEL_MAX:
        return None
    return _CODECS.get(label.strip().lower().replace("_", "-"))

"""The plain text that stands for a mail in HTML where nobody wrote one.

Not by ``html.parser``: in the Pythons that we support, it takes minutes for some pages of 200 KB. This one
looks at each character a few times at most.
"""

from __future__ import annotations

import re
from html import unescape

#: What is no text of the page, up to its end.
_HIDDEN = frozenset({"head", "script", "style", "template", "title"})
_PARAGRAPHS = frozenset(
    {"blockquote", "dl", "fieldset", "figure", "form", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p"}
    | {"pre", "table", "ul"}
)
_LINES = frozenset(
    {"address", "article", "aside", "body", "br", "dd", "div", "dt", "figcaption", "footer", "header", "li"}
    | {"main", "nav", "section", "tr"}
)
_CELLS = frozenset({"td", "th"})

_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>]*+)((?>[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
#: The same where a quote has no end.
_LOOSE_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*+)([^>]*+)>")
_ATTRIBUTE = re.compile(r"""([^\s=]++)(?:\s*=\s*+("[^"]*+"|'[^']*+'|\S++))?""")
#: Links that a reader of plain text can follow.
_FOLLOWED = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
_WHITE = re.compile(r"[ \t\n\r\f]+")
_MANY_LINE_ENDS = re.compile(r"\n{3,}")


def text_of_html(html: str) -> str:
    """Return the text of ``html``: blocks on lines of their own, links with their addresses.

    It has no white space around it, and is empty where the page shows no text.
    """
    page = _Page()
    _read(html, page)
    text = "\n".join(map(str.strip, "".join(page.pieces).split("\n")))
    return _MANY_LINE_ENDS.sub("\n\n", text).strip()


def _read(html: str, page: _Page) -> None:
    tags = _TAG
    at, last = 0, html.rfind(">")  # what begins after that has no end: it is text
    while 0 <= (begin := html.find("<", at)) < last:
        page.add_text(html[at:begin])
        at = begin
        if html.startswith("<!--", at):
            at = _after(html, "-->", at)
        elif html.startswith(("<!", "<?"), at):
            at = _after(html, ">", at)
        elif found := tags.match(html, at):
            at = found.end()
            name = found[2].lower()
            if found[1]:
                page.end(name)
            elif name in _HIDDEN:
                at = _after(html, ">", _after(html, f"</{name}", at))
            else:
                page.begin(name, found[3])
        elif tags is _TAG and html[at + 1 : at + 2].strip("/").isalpha():
            tags = _LOOSE_TAG  # for good: a second search for the end of that quote would be one too many
        else:
            page.add_text("<")
            at += 1
    page.add_text(html[at:])


def _after(html: str, end: str, at: int) -> int:
    """Return the place after ``end``, in any case; that after ``html`` if there is none."""
    found = re.compile(re.escape(end), re.IGNORECASE).search(html, at)
    return found.end() if found else len(html)


class _Page:
    """The text so far, in pieces."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        #: Of the link that is open: where it leads, and where its text begins among the pieces.
        self._link = ("", 0)

    def begin(self, tag: str, attributes: str) -> None:
        self._break(tag)
        if tag == "li":
            self.pieces.append("- ")
        elif tag == "img":
            self.add_text(_attribute(attributes, "alt"))
        elif tag == "a":
            self._link = unescape(_attribute(attributes, "href")).strip(), len(self.pieces)

    def end(self, tag: str) -> None:
        if tag != "a":
            self._break(tag)
            return
        (target, begin), self._link = self._link, ("", 0)
        if _FOLLOWED.match(target):
            label = "".join(self.pieces[begin:]).strip()
            if label not in (target, target.partition(":")[2].strip("/")):
                self.pieces.append(f" <{target}>")

    def add_text(self, text: str) -> None:
        self.pieces.append(_WHITE.sub(" ", unescape(text)))

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.pieces.append("\n\n")
        elif tag in _LINES:
            self.pieces.append("\n")
        elif tag in _CELLS:
            self.pieces.append(" ")


def _attribute(attributes: str, name: str) -> str:
    """Return the value of an attribute, as it is written; empty if there is none."""
    for found in _ATTRIBUTE.finditer(attributes):
        if found[1].lower() == name:
            return (found[2] or "").strip("\"'")
    return ""

"""The plain text that is made of HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth import TIMES, check_growth
from skitai.mail.plaintext import text_of_html

PAGES = {
    "Hello World<div><img src='cid:ID_A'></div>": "Hello World",
    "<p>One</p><p>Two<br>Three</p>": "One\n\nTwo\nThree",
    "<p>a\n  b\t<b>c</b>d</p>": "a b cd",
    "<ul><li>One<li>Two</ul>after": "- One\n- Two\n\nafter",
    "<table><tr><td>1<td>2<tr><td>3<td>4</table>": "1 2\n3 4",
    "<a href='https://x.example/y?a=1&amp;b=2'>the shop</a>!": "the shop <https://x.example/y?a=1&b=2>!",
    "<a href='https://x.example/'>https://x.example/</a>": "https://x.example/",
    "<a href='mailto:a@b.example'>a@b.example</a>": "a@b.example",
    "<a href='#top'>top</a> <a>b</a> <a href='javascript:x'>c</a></a>": "top b c",
    "<img alt='A cat'>": "A cat",
    "<head><title>T</title><style>p {}</style></head><body>x<script>y</script>": "x",
    "&lt;b&gt; &amp; &eacute;": "<b> & é",
    "<P CLASS='a>b'>One<BR/>two<script>if (a<b) {}</SCRIPT >three": "One\ntwothree",
    "<a href=https://x.example/ title=don't>one</a> <p>two": "one <https://x.example/>\n\ntwo",
    "<!doctype html><?xml?>a<b": "a<b",
    "<p></p><div><div><div>a</div></div></div><p></p>": "a",
    "<!-- a --><p>b": "b",
    "<img src='cid:a'>": "",
    "a < b > c": "a < b > c",
}


@pytest.mark.parametrize("html", PAGES)
def test_pages(html):
    """Blocks are lines of their own, links have their addresses, and what is not shown is left out."""
    assert text_of_html(html) == PAGES[html]


@given(st.text(st.sampled_from("<>/!-'\"= aphrefscit&;\n")))
def test_any_page(html):
    """Whatever is written, there is a text, without white space around it."""
    text = text_of_html(html)
    assert text == text.strip()
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    "piece", ["<a href='http://x'>", "</a>", "<td>", "<p>", "<", "&", " \n", "<div", "<!--"]
)
def test_long_pages_take_no_time(piece):
    """Up to half a megabyte the time that a page takes grows with its size and no faster."""
    count = 500_000 // TIMES // len(piece)
    check_growth(text_of_html, piece, piece * count, piece * count * TIMES)

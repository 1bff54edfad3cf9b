"""The examples of docs/saddle.md, run as they stand: each section is a folder of files and a dialogue."""

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "saddle.md"
BLOCK = re.compile(r"^```(python|html|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"(?:#|{#) (\S+)")


def sections():
    """Return the parts of the page that show something: title and blocks of each."""
    # A heading begins with a capital, a file's name in a block does not.
    pieces = re.split(r"^##? (?=[A-Z])", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = {piece.split("\n", 1)[0]: BLOCK.findall(piece) for piece in pieces}
    return {title: blocks for title, blocks in found.items() if blocks}


@pytest.mark.parametrize("title", sections())
def test_example(title, tmp_path, monkeypatch):
    """The section's files make an app, which answers as the section says."""
    monkeypatch.syspath_prepend(tmp_path)
    names, dialogue = {}, []
    for kind, text in sections()[title]:
        if kind == "pycon":
            dialogue.append(text)
            continue
        path = tmp_path / FILE_NAME.match(text)[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.partition("\n")[2] if kind == "html" else text)
        if kind == "python":
            monkeypatch.delitem(sys.modules, path.stem, raising=False)  # an app of this name that a test left
            names = vars(importlib.import_module(path.stem))
            monkeypatch.setitem(sys.modules, path.stem, sys.modules.pop(path.stem))  # for this test only
    test = doctest.DocTestParser().get_doctest("\n".join(dialogue), names, title, str(PAGE), 0)
    assert doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test).failed == 0

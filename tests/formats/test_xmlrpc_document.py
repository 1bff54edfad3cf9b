"""XML-RPC documents, and was.toxml and was.fromxml, which are made of them."""

import math
import xmlrpc.client
from datetime import UTC, date, datetime
from xmlrpc.client import Fault

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.formats.xmlrpc import DEPTH_MAX, DocumentReader, dump_params, load_document
from skitai.services import xml as plugin
from skitai.services.xml import fromxml, toxml

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary()
    | st.datetimes(datetime(1000, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    lambda values: st.lists(values) | st.dictionaries(TEXT, values),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(VALUES, max_size=3))
def test_round_trip(values):
    """Every value that can be sent arrives as it was."""
    assert fromxml(toxml(tuple(values))) == (tuple(values), None)


@pytest.mark.parametrize("text", ["a\r\nb\rc\td\n", "]]>&lt;<b>&#13;", "日本 \U0001f600 \x85", " spaces "])
def test_text_is_kept(text):
    """Line ends, markup, blanks and letters of every script arrive as they were, in keys, too."""
    assert load_document(dump_params((text, {text: text}))) == ((text, {text: text}), None)


@pytest.mark.parametrize(
    ("value", "tag"),
    [(2**31 - 1, "int"), (-(2**31), "int"), (2**31, "i8"), (-(2**31) - 1, "i8"), (-(2**63), "i8")],
)
def test_big_ints(value, tag):
    """An int is <i8> only where 32 bits are too few, so that servers without it take the others."""
    assert f"<{tag}>{value}</{tag}>" in toxml(value)


def test_only_tuples_are_several_values():
    """A tuple is its items, anything else one value; a tuple within is an array."""
    assert toxml((1, 2)).count("<param>") == 2
    assert fromxml(toxml([1, (2, 3)])) == (([1, [2, 3]],), None)
    assert fromxml(toxml(())) == ((), None)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


CYCLE = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (2**63, ValueError, "an int of 65 bits"),
        (-(2**63) - 1, ValueError, "an int of 65 bits"),
        (math.inf, ValueError, "inf"),
        (math.nan, ValueError, "nan"),
        ("a\x00", ValueError, r"'\\x00'"),
        ({"\x1b": 1}, ValueError, r"'\\x1b'"),
        ("\ud800", ValueError, r"'\\ud800'"),
        (datetime(2026, 1, 1, tzinfo=UTC), ValueError, "time zones"),
        (date(2026, 1, 1), TypeError, "datetime.date"),
        ({1: 2}, TypeError, "key must be string"),
        ({1, 2}, TypeError, "set"),
        (plugin, TypeError, "module"),
        (CYCLE, TypeError, "recursive"),
        (_nested(5000), ValueError, "too deep"),
    ],
)
def test_what_cannot_be_sent(value, kind, words):
    """What would arrive as something else, or not at all, is refused by name."""
    with pytest.raises(kind, match=f"params.*{words}"):
        toxml([value])


def test_method_calls():
    """A method call gives its name and its arguments."""
    assert fromxml(xmlrpc.client.dumps((1, "a"), "b.c")) == ((1, "a"), "b.c")
    assert fromxml(b"<methodCall><methodName>b</methodName></methodCall>") == ((), "b")


def test_fault():
    """A fault document raises its fault."""
    with pytest.raises(Fault) as caught:
        fromxml(xmlrpc.client.dumps(Fault(7, "no")))
    assert (caught.value.faultCode, caught.value.faultString) == (7, "no")


def test_encodings():
    """Bytes are read in the encoding that their declaration names, text as it is."""
    document = '<?xml version="1.0" encoding="iso-8859-1"?><params><param><value>ü</value></param></params>'
    assert fromxml(document.encode("latin-1")) == fromxml(document) == (("ü",), None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20200102T03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
        ("20200102T3:4:5", datetime(2020, 1, 2, 3, 4, 5)),
        ("2020-01-02T03:04:05", datetime(2020, 1, 2, 3, 4, 5)),
        (" 20200102T03:04:05Z\n", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05.5+00:00", datetime(2020, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)),
    ],
)
def test_datetimes(text, moment):
    """A datetime may be written with hyphens, and with the time zone that XML-RPC itself does not know."""
    document = PARAM.format(f"<value><dateTime.iso8601>{text}</dateTime.iso8601></value>")
    assert fromxml(document) == ((moment,), None)


PARAM = "<params><param>{}</param></params>"
DTD = "<!DOCTYPE methodResponse [{}]><params><param><value>&a;</value></param></params>"
HOSTILE = {
    "nothing": "",
    "no XML": "hello",
    "HTML": "<html><body><p>404</p></body></html>",
    "cut off": PARAM.format("<value>1</value>")[:-5],
    "text after the end": PARAM.format("<value>1</value>") + "x",
    "entity": DTD.format('<!ENTITY a "b">'),
    "entity bomb": DTD.format('<!ENTITY b "bb"><!ENTITY c "&b;&b;"><!ENTITY a "&c;&c;">'),
    "external entity": DTD.format('<!ENTITY a SYSTEM "file:///etc/passwd">'),
    "external DTD": '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><params/>',
    "unknown entity": PARAM.format("<value>&a;</value>"),
    "endless tag": f"<params a='{'x' * 100_000}'/>",
    "endless comment": f"<params><!--{'x' * 100_000}--></params>",
    "deep nesting": "<array>" * (DEPTH_MAX + 1),
    "unknown type": PARAM.format("<value><void/></value>"),
    "int that is none": PARAM.format("<value><int>one</int></value>"),
    "endless int": PARAM.format(f"<value><int>{'9' * 5000}</int></value>"),
    "boolean that is none": PARAM.format("<value><boolean>2</boolean></value>"),
    "date that is none": PARAM.format("<value><dateTime.iso8601>now</dateTime.iso8601></value>"),
    "day that is none": PARAM.format(
        "<value><dateTime.iso8601>2020-02-30T00:00:00</dateTime.iso8601></value>"
    ),
    "nameless member": PARAM.format("<value><struct><value>1</value></struct></value>"),
    "list as a name": PARAM.format("<value><struct><array/><value>1</value></struct></value>"),
    "empty fault": "<methodResponse><fault/></methodResponse>",
    "fault of an int": "<methodResponse><fault><value><int>1</int></value></fault></methodResponse>",
    "unknown encoding": b'<?xml version="1.0" encoding="none"?><params/>',
    "bytes beyond UTF-8": b"<params><param><value>\xff</value></param></params>",
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_document(document):
    """Malformed and hostile documents raise ValueError, with words of a bearable length."""
    with pytest.raises(ValueError, match="not an XML-RPC document") as caught:
        fromxml(document)
    assert len(str(caught.value)) < 300
    assert not str(caught.value).endswith(("()", ": "))


@settings(deadline=None)
@given(st.binary() | st.text(alphabet="<>/&;![] paramsvluetrcd="))
def test_nonsense(document):
    """Whatever comes, the only complaint is ValueError."""
    try:
        fromxml(document)
    except ValueError:
        return
    raise AssertionError(f"{document!r} was taken for a document")


@settings(deadline=None)
@given(st.integers(1, 40))
def test_pieces(size):
    """A document that comes in pieces, cut anywhere, is the same document."""
    document = dump_params(({"ü": [1, "日本", None]},)).encode()
    reader = DocumentReader()
    for start in range(0, len(document), size):
        reader.feed(document[start : start + size])
    assert reader.close() == (({"ü": [1, "日本", None]},), None)


def test_long_text():
    """Text of any length is no attack, whether it has line ends or not."""
    for text in ("x" * 200_000, "x\n" * 100_000, "日" * 100_000):
        assert fromxml(toxml(text)) == fromxml(toxml(text).encode()) == ((text,), None)


def test_depth():
    """Nesting of a hundred arrays is no attack."""
    value = _nested(100 - 3)
    assert fromxml(toxml(value)) == ((value,), None)


def test_plugin():
    """The plugin gives both functions as attributes of was."""
    attributes = plugin.skitai_attributes()
    assert attributes.keys() == {"toxml", "fromxml"}
    assert attributes["toxml"](None) is toxml
    assert attributes["fromxml"](None) is fromxml


@pytest.mark.parametrize(
    "value",
    [
        "<base64>!!!</base64>",
        "<base64>YQ</base64>",
        "<int>1_0</int>",
        "<int>\u0663</int>",
        "<i8>1.0</i8>",
        "<i4></i4>",
    ],
)
def test_values_that_only_look_like_theirs(value):
    """What the standard library would make something of, but XML-RPC does not know, is no document."""
    document = f"<params><param><value>{value}</value></param></params>"
    with pytest.raises(ValueError, match="not an XML-RPC document"):
        load_document(document)

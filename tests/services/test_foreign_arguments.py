"""The words of other libraries as arguments of ``was``: each message says what to write here."""

import inspect
import re

import pytest

from skitai import was
from skitai.services.db.service import DatabaseService
from skitai.services.db.statement import Statement
from skitai.services.db.words import (
    EXECUTE_KEYWORDS,
    EXECUTEMANY_KEYWORDS,
    LISTEN_KEYWORDS,
    TRANSACTION_KEYWORDS,
)
from skitai.services.db.words import KEYWORDS as DB
from skitai.services.email.email import Email
from skitai.services.email.service import EmailService
from skitai.services.email.words import ADD_ATTACHMENT, ADD_TEXT, EMAIL, SET_SMTP
from skitai.services.http.service import HTTPService
from skitai.services.http.words import KEYWORDS as HTTP
from skitai.services.websocket.service import WebSocketService
from skitai.services.websocket.words import CONNECT_KEYWORDS
from skitai.services.websocket.words import KEYWORDS as WS
from skitai.testing import FakeWas

URL = "http://search.test/"


@pytest.fixture(scope="module", autouse=True)
def _was():
    with FakeWas(clusters={"search": 1}):
        yield


@pytest.mark.parametrize(
    ("call", "word", "hint"),
    [
        (lambda **given: was.get(URL, **given), "allow_redirects", "write follow=5 to follow"),
        (lambda **given: was.get(URL, detach=True, **given), "max_redirects", "write follow=5 to follow"),
        (lambda **given: was.get(**given), "url", "did you mean uri?"),
        (lambda **given: was.head(URL, **given), "folow", "did you mean follow?"),
        (lambda **given: was.get.lb("@search/", **given), "verify", "TLS is set in the config"),
        (lambda **given: was.get.map("@search/", **given), "proxies", "the key proxy in the section [http]"),
        (lambda **given: was.post(URL, **given), "content", "did you mean data?"),
        (lambda **given: was.put(URL, **given), "detatch", "did you mean detach?"),
        (lambda **given: was.upload(URL, {}, **given), "files", "was.upload(uri, {name: file})"),
        (lambda **given: was.rpc(URL, **given), "cert", "TLS is set in the config"),
        (lambda **given: was.rpc(URL, **given), "timout", "did you mean timeout?"),
        (lambda **given: was.jsonrpc(URL, **given), "idempotant", "did you mean idempotent?"),
        (lambda **given: was.ws(URL, "a", **given), "timeout", "write was.ws(...).getwait(timeout)"),
        (lambda **given: was.ws.connect(URL, **given), "subprotocol", "did you mean subprotocols?"),
        (lambda **given: was.ws.connect(URL, **given), "open_timeout", "did you mean timeout?"),
        (lambda **given: was.db(**given), "host", "did you mean server?"),
        (lambda **given: was.db("h", **given), "port", "write the port behind the host"),
        (lambda **given: was.db("h", **given), "use_cach", "did you mean use_cache?"),
        (lambda **given: was.db.transaction("h", **given), "isolation_level", "did you mean isolation?"),
        (lambda **given: was.db.transaction("h", **given), "readonli", "did you mean readonly?"),
        (lambda **given: was.db.listen("h", **given), "chanel", "did you mean channel?"),
        (lambda **given: was.db.listen("h", "c", **given), "database", "did you mean dbname?"),
        (lambda **given: was.email("Tea", "a@b.c", "d@e.f", **given), "body", "write e.add_text(text)"),
        (lambda **given: was.email("Tea", **given), "to", "did you mean rcpt?"),
        (lambda **given: was.rooms(**given), "group", "did you mean name?"),
        (lambda **given: was.gather(**given), "return_exceptions", "results have their errors"),
        (lambda **given: was.as_completed([], **given), "timout", "did you mean timeout?"),
    ],
)
def test_hints(call, word, hint):
    """Whoever comes from another library reads what it is here, and nothing is sent."""
    with pytest.raises(TypeError, match=f"^was[.a-z_]*\\(\\) .*{word!r}: {re.escape(hint)}"):
        call(**{word: 1})


def test_a_method_has_the_body():
    """A call of a method has no body of its own."""
    with pytest.raises(TypeError, match=r"^json makes no sense with XML-RPC: give it to the method"):
        was.rpc(URL, json=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: was.db("h").execute("select 1", parameters=()), "execute() .*: did you mean params?"),
        (lambda: was.db("h").execute("select 1", parms=()), "execute() .*: did you mean params?"),
        (lambda: was.db("h").executemany("select 1", [], params=()), "executemany() .*: did you mean rows?"),
        (lambda: mail().add_text("a", subtype="html"), "add_text() .*: did you mean mimetype?"),
        (lambda: mail().add_attachment(b"a", filename="a"), "add_attachment() .*: did you mean name?"),
        (lambda: mail().set_smtp("h", port=25), "set_smtp() .*: write the port behind the host"),
    ],
)
def test_what_they_return(call, message):
    """The same holds for the methods of what ``was`` returns."""
    with pytest.raises(TypeError, match=re.escape(message).replace(r"\.\*", ".*")):
        call()


def mail():
    return was.email("Tea", "a@b.c", "d@e.f")


@pytest.mark.parametrize(
    ("keywords", "function"),
    [
        (HTTP, HTTPService.operation),
        (WS, WebSocketService.operation),
        (CONNECT_KEYWORDS, WebSocketService.opening),
        (DB, DatabaseService.place),
        (TRANSACTION_KEYWORDS, DatabaseService.place),
        (LISTEN_KEYWORDS, DatabaseService.place),
        (EXECUTE_KEYWORDS, Statement.execute),
        (EXECUTEMANY_KEYWORDS, Statement.executemany),
        (EMAIL, EmailService.opening),
        (ADD_TEXT, Email.add_text),
        (ADD_ATTACHMENT, Email.add_attachment),
        (SET_SMTP, Email.set_smtp),
    ],
)
def test_no_hint_is_of_an_argument(keywords, function):
    """What can be written has no hint."""
    assert not keywords.hints.keys() & {*keywords.known, *inspect.signature(function).parameters}

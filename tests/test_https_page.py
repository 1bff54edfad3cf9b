"""The examples of docs/https.md and of etc/https.conf are what Skitai takes."""

import re

import pytest

from certificates import Identity
from instances import make_instance
from serving import REPOSITORY
from skitai.config import SERVER_KEYS
from skitai.net.client_certificates import ClientCertificate

PAGE = (REPOSITORY / "docs" / "https.md").read_text("utf-8")
EXAMPLES = [
    *re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL),
    (REPOSITORY / "etc/https.conf").read_text("utf-8"),
]
CHAIN = Identity(authority=True)
OWN = Identity("www.example.org", "example.org", "*.example.net", "example.net", issuer=CHAIN, days=60)
OLD = Identity("old.example.org", days=60)
KEY = OWN.key_pem("of the server")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the examples name."""
    monkeypatch.setenv("KEY_PASSPHRASE", "of the server")
    pair = OWN.pem + CHAIN.pem + OWN.key_pem()
    for name, content in {
        "main.pem": pair,
        "main.key": OWN.key_pem(),
        "example.pem": pair,
        "wild.pem": OWN.pem,
        "chain.pem": CHAIN.pem,
        "wild.key": OWN.key_pem(),
        "old.pem": OLD.pem + OLD.key_pem("secret"),
        "clients.pem": CHAIN.pem,
        "fullchain.pem": OWN.pem + CHAIN.pem,
        "privkey.pem": OWN.key_pem(),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name in ("site", "account", "internal"):
        (tmp_path / f"{name}.py").write_text("def app(environ, start_response): ...\n")
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(example, folder, reactor_thread):
    """Each config loads with its files, without a warning."""
    text = re.sub(r"/etc/letsencrypt/live/[a-z.]+/|/var/www/letsencrypt()", f"{folder}/", example)
    text = text.replace("user = www-data", "").replace("sample/", f"{REPOSITORY}/etc/sample/")
    (folder / "site.conf").write_text(text)
    assert make_instance(reactor_thread.reactor, folder / "site.conf").warnings == ()


def test_names():
    """The keys and variables that the page names are there."""
    for key in ("redirect_http", "acme_webroot", "hsts", "client_ca", "certfile", "keyfile", "passphrase"):
        assert f"`{key}" in PAGE or f"\n{key} = " in PAGE
        assert key in SERVER_KEYS
    for name in ClientCertificate(OWN.certificate).variables:
        assert name.replace("I_DN_CN", "S_DN_CN").replace("DNS_1", "DNS_0") in PAGE or "SAN_DNS" in name

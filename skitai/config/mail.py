"""The keys of ``[smtpda]``: where ``was.email`` puts mail, and how the delivery agent sends it.

The section does not depend on any plugin: the server, skitaid and the agent read it.
"""

from __future__ import annotations

from collections.abc import Mapping

from skitai.config.casters import (
    integer,
    one_of,
    optional,
    path,
    positive,
    seconds,
    show_secret,
    show_size,
    size,
    text,
    yes_no,
)
from skitai.config.keys import Key

_MB = 1 << 20

MAIL_KEYS: Mapping[str, Key] = {
    "smtpserver": Key(
        text,
        "127.0.0.1:25",
        "host:port of the server; file:DIR or console: deliver nothing, for development",
        example="smtp.example.org:587",
    ),
    "user": Key(optional(text), None, "name to log in with; empty: no login", example="shop"),
    "password": Key(
        optional(text),
        None,
        "its password; better: password_file, or ${VARIABLE}",
        show_secret,
        example="${SMTP_PASSWORD}",
    ),
    "password_file": Key(
        optional(path),
        None,
        "file with the password, read for each connection",
        example="/etc/site/smtp.password",
    ),
    "token_command": Key(
        optional(text),
        None,
        "command that prints an OAuth token, for XOAUTH2 instead of a password",
        show_secret,
        example="/usr/local/bin/token",
    ),
    "ssl": Key(yes_no, False, "speak TLS from the first byte (SMTPS); port 465 implies it"),
    "tls": Key(
        one_of("required", "yes", "no"),
        "yes",
        "STARTTLS: required and verified; yes: where offered, verified only to log in; no",
        example="required",
    ),
    "ca_file": Key(
        optional(path),
        None,
        "PEM file of the authorities to trust; default: the system's",
        example="authorities.pem",
    ),
    "helo": Key(
        optional(text),
        None,
        "name to greet the server with; default: that of this host",
        example="mail.example.org",
    ),
    "timeout": Key(positive(seconds), 60.0, "so long the server may take for one answer"),
    "connections": Key(integer(1, 100), 4, "connections to one server at once"),
    "rate": Key(integer(0), 0, "mails a minute to one server; 0: any number", example="60"),
    "max_retry": Key(integer(0), 10, "so often a mail is tried again before it is given up"),
    "undelivers_keep_max_days": Key(integer(0), 30, "days that undelivered mail is kept; 0: for ever"),
    "bounce": Key(yes_no, False, "tell the sender of a mail that is given up"),
    "max_size": Key(positive(size), 25 * _MB, "largest mail; send() refuses a larger one", show_size),
    "dkim_key": Key(
        optional(path), None, "PEM file of a key to sign with (DKIM); needs skitai[dkim]", example="dkim.pem"
    ),
    "dkim_domain": Key(
        optional(text), None, "domain that signs; default: that of the sender", example="example.org"
    ),
    "dkim_selector": Key(text, "default", "selector of the key in the DNS", example="2026"),
}

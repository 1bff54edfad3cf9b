"""What users of Django, Flask-Mail and smtplib write, with how it is called here."""

from __future__ import annotations

from skitai.formats.spelling import Keywords

_TEXT = "write e.add_text(text), and e.add_text(html, 'text/html') for HTML"
#: Of ``was.email``.
EMAIL = Keywords(
    {
        **dict.fromkeys(("to", "to_addrs", "recipients", "recipient_list"), "did you mean rcpt?"),
        **dict.fromkeys(("sender", "from_", "from_addr", "from_email", "mail_from"), "did you mean snd?"),
        **dict.fromkeys(("body", "text", "message", "msg", "content", "html", "html_message"), _TEXT),
        **dict.fromkeys(("attachments", "attachment", "files"), "write e.add_attachment(path)"),
        **dict.fromkeys(("headers", "extra_headers"), "write e.set_header(name, value)"),
        **dict.fromkeys(("host", "auth_user", "auth_password"), "write e.set_smtp(server, user)"),
    },
    frozenset({"detach"}),
)
#: Of its ``add_text``.
ADD_TEXT = Keywords(
    {
        **dict.fromkeys(("body", "content", "message", "html"), "did you mean text?"),
        **dict.fromkeys(("subtype", "content_type"), 'did you mean mimetype? It is "text/html" for HTML'),
        "encoding": "did you mean charset?",
    },
    frozenset({"text", "mimetype", "charset"}),
)
#: Of its ``add_attachment``.
ADD_ATTACHMENT = Keywords(
    {
        **dict.fromkeys(("filename", "file_name"), "did you mean name?"),
        **dict.fromkeys(("path", "content", "data", "file"), "did you mean path_or_bytes?"),
        **dict.fromkeys(("content_type", "maintype", "subtype"), 'did you mean mimetype? It is "image/png"'),
        "content_id": "did you mean cid?",
    },
    frozenset({"path_or_bytes", "mimetype", "name", "cid"}),
)
#: Of its ``set_smtp``.
SET_SMTP = Keywords(
    {
        **dict.fromkeys(("host", "hostname"), "did you mean server?"),
        "port": "write the port behind the host: server='host:587'",
        "username": "did you mean user?",
        **dict.fromkeys(
            ("use_ssl", "use_tls", "tls"), "did you mean ssl? STARTTLS is used where it is offered"
        ),
    },
    frozenset({"server", "user", "password", "ssl"}),
)

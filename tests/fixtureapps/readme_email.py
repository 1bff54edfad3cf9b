"""The example of the README's chapter on e-mail, in a Flask view that runs as it is printed.

Only a variable of tests may name another server.
"""

import os

from flask import Flask

from skitai import was

app = Flask(__name__)


@app.route("/send")
def send():
    subject, snd, rcpt = "Hello", '"Ann" <ann@b.example>', "bob@d.example"
    # email delivery service
    e = was.email(subject, snd, rcpt)
    server = os.environ.get("README_SMTP_SERVER", "127.0.0.1:465")
    e.set_smtp(server, "username", "password", ssl=True)
    e.add_text("Hello World<div><img src='cid:ID_A'></div>", "text/html")
    e.add_attachment(r"001.png", cid="ID_A")
    s = e.send()
    return s.getwait().data


@app.route("/async")
async def send_async():
    e = was.email("Hello", "ann@b.example", "bob@d.example")
    e.add_text("Hello World")
    s = await e.send()
    return s.data

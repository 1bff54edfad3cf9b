"""Cookies, sessions, messages, tokens, uploads and passwords, as a browser meets them."""

import json
from pathlib import Path

import pytest
from credentials import basic_header, digest_header
from werkzeug.test import create_environ

from skitai.saddle import Saddle

BOUNDARY = "xYzZY"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture
def app(tmp_path):
    """An app with a key."""
    app = Saddle("test_visitors")
    app.securekey = "ds8fdsflksdjf9879dsf;?<>Asda"
    return app


def test_cookie(app, browse):
    """A cookie that is set is seen by the next request; one that a failed request set is not sent."""

    @app.route("/")
    def index(was):
        if "user_id" not in was.cookie:
            was.cookie.set("user_id", "han sroh")
        return was.cookie["user_id"]

    @app.route("/fails")
    def fails(was):
        was.cookie["lost"] = "x"
        raise ValueError

    browser = browse(app)
    first = browser.get("/")
    assert (first.text, first["Set-Cookie"]) == ("han sroh", "user_id=han%20sroh; path=/; SameSite=Lax")
    assert (browser.get("/").text, browser.get("/")["Set-Cookie"]) == ("han sroh", None)
    assert browser.get("/fails")["Set-Cookie"] is None


def test_session(app, browse):
    """What a session holds comes back; a cookie that was tampered with is an empty session."""

    @app.route("/session")
    def session(was, **form):
        if "user_id" not in was.session:
            was.session.set("user_id", form.get("hansroh"))
        return was.session["user_id"]

    browser = browse(app)
    first = browser.post("/session", {"hansroh": "x"})
    assert (first.text, "HttpOnly" in first["Set-Cookie"]) == ("x", True)
    assert "hansroh" not in first["Set-Cookie"]
    assert browser.get("/session").text == "x"
    name, value = "SESSION", browser.cookies["SESSION"]
    browser.cookies[name] = value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB")
    assert browser.get("/session?hansroh=new").text == "new"


def test_session_needs_a_key(browse):
    """Without a key there is no session, and the log says what to do."""
    app = Saddle("test_visitors")

    @app.route("/")
    def index(was):
        with pytest.raises(AttributeError, match=r"needs app\.securekey"):
            was.session["a"] = 1
        return "none"

    assert browse(app).get("/").text == "none"


def test_messages(app, browse):
    """Messages sent before a redirect are shown after it: once, or as long as they are valid."""

    @app.route("/msg")
    def msg(was):
        was.mbox.send("flash", "flash")
        was.mbox.send("kept", "alarm", valid=60)
        return was.redirect(was.ab("showmsg", "Hans Roh"), status="302 Object Moved")

    @app.route("/showmsg")
    def showmsg(was, name):
        return [name, [text for _id, _category, _created, _valid, text, _extra in was.mbox.get()]]

    browser = browse(app, "/m")
    moved = browser.get("/msg")
    assert (moved.status, moved["Location"]) == ("302 Object Moved", "/m/showmsg?name=Hans+Roh")
    assert json.loads(browser.follow(moved).text) == ["Hans Roh", ["flash", "kept"]]
    assert json.loads(browser.follow(moved).text) == ["Hans Roh", ["kept"]]


def test_csrf(app, browse):
    """With app.csrf an unsafe request needs the token of the same visitor."""
    app.csrf = True

    @app.route("/form")
    def form(was, **fields):
        return was.csrf_token() if was.request.command == "get" else json.dumps(fields)

    browser, stranger = browse(app), browse(app)
    token, other = browser.get("/form").text, stranger.get("/form").text
    assert browser.post("/form", {"a": "1"}).code == 403
    assert browser.post("/form", {"a": "1", "csrf_token": other}).code == 403
    assert browser.get(f"/form?csrf_token={token}", "POST").code == 403
    assert browser.post("/form", {"a": "1", "csrf_token": token}).text == '{"a": "1"}'
    assert browser.post("/form", {"a": "1"}, X_CSRF_Token=token).code == 200


def multipart(*parts):
    lines = []
    for disposition, content in parts:
        lines += [b"--" + BOUNDARY.encode(), b"Content-Disposition: form-data; " + disposition, b"", content]
    return b"\r\n".join([*lines, b"--" + BOUNDARY.encode() + b"--", b""])


def test_upload(app, browse, tmp_path):
    """A file is saved where the view says, under a name that is safe; its temporary file goes."""
    seen = []

    @app.route("/upload")
    def upload(was, **form):
        file = form["file"]
        seen.append(file.file)
        file.save(str(tmp_path), dup="o")
        return [file.name, file.size, file.mimetype, form["name"]]

    @app.route("/drop")
    def drop(was, **form):
        seen.append(form["file"].file)

    browser = browse(app)
    body = multipart(
        (b'name="name"', b"Hans"),
        (b'name="file"; filename="../logo.png"\r\nContent-Type: image/png', b"PNG" * 9),
    )
    assert json.loads(browser.post("/upload", body=body, kind=MULTIPART).text) == [
        "logo.png",
        27,
        "image/png",
        "Hans",
    ]
    assert (tmp_path / "logo.png").read_bytes() == b"PNG" * 9
    assert browser.post("/drop", body=body, kind=MULTIPART).code == 200
    app.upload_file_max_size = 10
    assert browser.post("/upload", body=body, kind=MULTIPART).code == 413
    for path in seen:
        with pytest.raises(FileNotFoundError):
            open(path, "rb")


def test_form_limits(app, browse):
    """The text of a form may take 5 MB and 10,000 fields; the app may say another size."""

    @app.route("/")
    def count(was, **form):
        return sum(map(len, form.values()))

    browser = browse(app)
    text = "x" * ((5 << 20) - 2)
    assert browser.post("/", {"a": text}).text == str(len(text))
    assert browser.post("/", {"a": text + "x"}).code == 413
    assert browser.post("/", {str(number): "x" for number in range(10_000)}).text == "10000"
    assert browser.post("/", {str(number): "x" for number in range(10_001)}).code == 413
    body = multipart((b'name="a"', text.encode() + b"xx"))
    assert browser.post("/", body=body, kind=MULTIPART).text == str(len(text) + 2)
    body = multipart((b'name="a"', text.encode()), (b'name="b"', b"xxx"))
    assert browser.post("/", body=body, kind=MULTIPART).code == 413
    app.form_max_size = 10
    assert browser.post("/", {"a": "12345678"}).text == "8"
    assert browser.post("/", {"a": "123456789"}).code == 413


def test_a_form_is_a_body_too(app, browse):
    """The bytes of an ordinary form can be had as they came; those of one with files are not kept."""
    app.route("/")(lambda was, **form: was.request.get_body() + f"|{sorted(form)}".encode())
    browser = browse(app)
    assert browser.post("/", body=b"b=%C2%B2+&a=1").body == b"b=%C2%B2+&a=1|['a', 'b']"
    body = multipart((b'name="a"', b"1"))
    assert browser.post("/", body=body, kind=MULTIPART).body == b"|['a']"


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_authentication(browse, scheme):
    """Nobody gets in without the password, which a challenge asks for; the view knows who came."""
    app = Saddle("test_visitors")
    app.authorization, app.realm = scheme, "Partner App Area of mysite.com"
    app.user, app.password = "app", "iamyourpartnerapp"

    @app.route("/hello/<name>")
    def hello(was, name="Hans Roh"):
        return f"Hello, {name} of {was.request.user}"

    browser = browse(app)
    asked = browser.get("/hello/Hans_Roh")
    assert asked.code == 401
    assert all(value.lower().startswith(scheme) for value in asked.all("WWW-Authenticate"))
    assert 'realm="Partner App Area of mysite.com"' in asked.all("WWW-Authenticate")[0]
    if scheme == "basic":
        assert browser.get("/hello/x", Authorization=basic_header("app", "wrong")).code == 401
        right = basic_header("app", "iamyourpartnerapp")
        assert browser.get("/hello/x", Authorization=right).text == "Hello, x of app"


@pytest.mark.parametrize("waits", [False, True])
def test_basic_by_a_function(browse, waits):
    """A function decides whether name and password are right; it may be a coroutine function."""
    app = Saddle("test_visitors")
    app.authorization, app.realm = "basic", "Partner Area"

    def check(name, password):
        return (name, password) == ("hans", "secret")

    async def check_later(name, password):
        return check(name, password)

    app.users = check_later if waits else check
    app.route("/")(lambda was: was.request.user)
    browser = browse(app)
    assert browser.get("/").code == 401
    assert browser.get("/", Authorization=basic_header("hans", "wrong")).code == 401
    assert browser.get("/", Authorization=basic_header("ann", "secret")).code == 401
    assert browser.get("/", Authorization=basic_header("hans", "secret")).text == "hans"


@pytest.mark.parametrize("waits", [False, True])
def test_digest_by_a_function(browse, waits):
    """A function gives the password; what is no text is nobody's, and no way in."""
    app = Saddle("test_visitors")
    app.authorization, app.realm = "digest", "Partner Area"
    passwords = {"hans": "secret", "odd": False}

    async def password_later(name):
        return passwords.get(name)

    app.users = password_later if waits else passwords.get
    app.route("/")(lambda was: was.request.user)
    browser = browse(app)

    def log_in(name, password):
        asked = browser.get("/")
        assert asked.code == 401
        nonce = asked["WWW-Authenticate"].partition('nonce="')[2].partition('"')[0]
        return browser.get("/", Authorization=digest_header(nonce, name, password, uri="/"))

    assert log_in("hans", "secret").text == "hans"
    assert log_in("hans", "False").code == 401
    assert log_in("stranger", "None").code == 401
    assert log_in("odd", "False").code == 500


def test_authentication_half_configured(browse):
    """An app that wants passwords but has none answers nobody."""
    app = Saddle("test_visitors")
    app.authorization = "basic"
    assert browse(app).get("/").code == 500


def test_what_an_error_handler_leaves_is_kept(app, browse):
    """An error that the app answers is an ordinary answer: session, messages and tokens come with it."""
    app.csrf = True

    @app.error(403)
    def deny(was, code):
        was.session["next"] = "/wanted"
        was.mbox.send("log in first")
        return was.csrf_token()

    @app.route("/look")
    def look(was):
        return {"next": was.session["next"], "said": [message.msg for message in was.mbox.get()]}

    @app.route("/do", methods=["POST"])
    def do(was):
        return "done"

    browser = browse(app)
    token = browser.post("/do", {}).text
    assert json.loads(browser.get("/look").text) == {"next": "/wanted", "said": ["log in first"]}
    assert browser.post("/do", {"csrf_token": token}).text == "done"


def test_another_apps_session_is_left_alone(browse):
    """Two apps of one host with keys of their own do not log each other's visitors out by looking."""
    apps = [Saddle("test_visitors") for _ in range(2)]
    for number, app in enumerate(apps):
        app.securekey = f"the key of app {number}"

        @app.route("/look")
        def look(was, keep=None):
            if keep:
                was.session["kept"] = keep
            return f"{was.session['kept']}"

    mine, other = map(browse, apps)
    mine.get("/look?keep=x")
    other.cookies = mine.cookies
    assert other.get("/look").text == "None"
    assert mine.get("/look").text == "x"


def test_another_apps_messages_are_left_alone(browse):
    """Neither app takes the other's messages away by looking; what never was in a cookie removes none."""
    apps = [Saddle("test_visitors") for _ in range(2)]
    for number, app in enumerate(apps):
        app.securekey = f"the key of app {number}"

        @app.route("/look")
        def look(was, say=None):
            if say:
                was.mbox.send(say)
                return "said"
            return [each.msg for each in was.mbox.get("info")]

        @app.before_request
        def greet(was):
            was.mbox.send("hello", "greeting")
            assert was.mbox.get("greeting")

    mine, other = map(browse, apps)
    mine.get("/look?say=x")
    other.cookies = dict(mine.cookies)
    page = other.get("/look")
    assert (page.text, page.all("Set-Cookie")) == ("[]", [])
    page = mine.get("/look")
    assert page.text == "x"
    assert len(page.all("Set-Cookie")) == 1
    assert mine.get("/look").all("Set-Cookie") == []


@pytest.mark.parametrize("streamed", [False, True])
def test_an_uploaded_file_may_be_the_answer(app, browse, streamed):
    """An uploaded file lives as long as the body that is made of it."""
    held = []

    @app.route("/echo", methods=["POST"])
    def echo(was, file):
        held.append(file)
        return (piece for piece in [file.read()]) if streamed else file

    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntea\r\n'
        f"--{BOUNDARY}--\r\n"
    ).encode()
    page = browse(app).post("/echo", body=body, kind=MULTIPART)
    assert (page.code, page.text) == (200, "tea")


def test_head_that_the_server_refuses(app):
    """The body that such a server will not close is closed: its upload is not left behind."""
    paths = []

    @app.route("/echo")
    def echo(was, file):
        paths.append(file.file)
        return open(file.file, "rb")

    def refuse(status, headers, exc_info=None):
        raise ValueError("no such header")

    body = multipart((b'name="file"; filename="a.txt"', b"tea"))
    environ = create_environ("/echo", method="POST", data=body, content_type=MULTIPART)
    with pytest.raises(ValueError, match="no such header"):
        app(environ, refuse)
    assert not Path(*paths).exists()


def test_text_takes_its_own_room(app, browse):
    """A session holds as many letters of any language as their UTF-8 has room for."""

    @app.route("/fill")
    def fill(was):
        was.session["text"] = "\N{HANGUL SYLLABLE GAG}" * 800
        return "filled"

    assert browse(app).get("/fill").text == "filled"

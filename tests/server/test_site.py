"""Which host, directory and mount answers a request."""

import pytest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from unavailable import Unavailable

from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory


def naming(name):
    """Return an app that answers its name, its mount point and the rest of the path."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]

    return app


@pytest.fixture
def mount(serve):
    """Return ``mount(**mounts)``: makes Mounts of apps, resources and directories by mount point."""
    maker = serve({}, threads=0)

    def make(mounts, directories=()):
        resources = [
            (point.encode(), maker.resource(what, point) if callable(what) else what)
            for point, what in mounts.items()
        ]
        return Mounts(
            [(point.encode(), StaticDirectory(root, 300)) for point, root in dict(directories).items()],
            resources,
        )

    return make


@pytest.fixture
def threads():
    """The site has nothing to do with executors."""
    return 0


# -- virtual hosts -----------------------------------------------------------------------------------------


@pytest.fixture
def hosts(serve, mount):
    """A server with exact, suffix and default hosts."""
    exact = {name: mount({"": naming(name)}) for name in ("example.org", "a.b.example.org", "[::1]")}
    suffixes = {name: mount({"": naming(f".{name}")}) for name in ("example.org", "b.example.org", "local")}
    site = Site(
        mount({"": naming("default")}),
        {name.encode(): mounts for name, mounts in exact.items()},
        {name.encode(): mounts for name, mounts in suffixes.items()},
    )
    return serve({}, site=site)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org", "example.org"),
        ("example.org:8080", "example.org"),
        ("example.org.", "example.org"),
        ("example.org.:80", "example.org"),
        ("www.example.org", ".example.org"),
        ("x.y.example.org", ".example.org"),
        ("b.example.org", ".b.example.org"),
        ("x.B.example.org:1", ".b.example.org"),
        ("a.b.example.org", "a.b.example.org"),
        ("notexample.org", "default"),
        ("example.org.evil", "default"),
        ("local", ".local"),
        ("localhost", "default"),
        ("org", "default"),
        ("a." * 2000 + "b.example.org", ".b.example.org"),
        ("a." * 2000 + "bb.example.org", ".example.org"),
        ("a." * 2000 + "notexample.org", "default"),
        ("a" * 4000, "default"),
        ("", "default"),
        ("[::1]", "[::1]"),
        ("[::1]:5000", "[::1]"),
        ("[::2]:5000", "default"),
    ],
)
def test_the_most_specific_host_answers(hosts, host, expected):
    """An exact name, else the longest domain, else the default; port, case and a last dot do not matter."""
    assert hosts.ask("/", host=host).body.split()[0].decode() == expected


def test_an_absolute_target_chooses_the_host(hosts):
    """The host of an absolute target counts, not the Host field."""
    assert hosts.ask("http://www.example.org/", host="other").body.split()[0] == b".example.org"


def test_no_host_means_the_default_one(hosts):
    """HTTP/1.0 needs no Host."""
    with hosts.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().body.split()[0] == b"default"


def test_without_a_default_strangers_get_503(serve, mount, log_text):
    """A host that nobody serves is 503, and the log says so; /ping answers all the same."""
    gateway = serve({}, site=Site(None, {b"known": mount({"": naming("known")})}))
    assert gateway.ask(host="known").code == 200
    found = gateway.ask(host="unknown")
    assert (found.code, b"no site of this name" in found.body) == (503, True)
    assert " GET / was refused with 503: its host is none of those that are served" in log_text()
    assert gateway.ask("/ping", host="unknown").body == b"pong"


# -- mounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/app", "app /app /"),
        ("/app/", "app /app /"),
        ("/app/x", "app /app /x"),
        ("/app/inner", "inner /app/inner /"),
        ("/app/inner/x/", "inner /app/inner /x/"),
        ("/app/innermost", "app /app /innermost"),
    ],
)
def test_the_longest_mount_point_answers(serve, mount, target, expected):
    """Mount points match whole segments, the longest first; no redirect is needed for the slash."""
    mounts = mount({"/app": naming("app"), "/app/inner": naming("inner")})
    assert serve({}, site=Site(mounts)).ask(target).body.decode() == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [("/", "root  /"), ("/x", "root  /x"), ("/apple", "root  /apple"), ("/app/x", "app /app /x")],
)
def test_the_root_takes_the_rest(serve, mount, target, expected):
    """Also what begins like another mount point."""
    mounts = mount({"": naming("root"), "/app": naming("app")})
    assert serve({}, site=Site(mounts)).ask(target).body.decode() == expected


@pytest.mark.parametrize("target", ["/", "/ap", "/apple", "/APP", "//app", "/x/app", "/app%2Fx"])
def test_what_is_mounted_nowhere_is_404(serve, mount, target):
    """Half a segment, another case or another place is not the mount point."""
    response = serve({}, site=Site(mount({"/app": naming("app")}))).ask(target)
    assert (response.code, response["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_files_come_before_apps_on_the_same_point(serve, mount, tmp_path):
    """A file that exists is served to GET and HEAD; anything else goes to the app."""
    (tmp_path / "a b.txt").write_text("file")
    gateway = serve({}, site=Site(mount({"/app": naming("app")}, {"/app": tmp_path})))
    assert gateway.ask("/app/a%20b.txt").body == b"file"
    assert gateway.ask("/%61pp/a%20b.txt").body == b"file"
    assert gateway.ask("/app/a%20b.txt", "HEAD")["Content-Length"] == "4"
    assert gateway.ask("/app/a%20b.txt", "POST").body == b"app /app /a b.txt"
    assert gateway.ask("/app/other").body == b"app /app /other"


def test_a_folder_below_is_redirected_to_its_slash(serve, mount, tmp_path):
    """By the server's own requests, which have no ``prepath`` before a Twisted resource needs it."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "index.html").write_text("index")
    gateway = serve({}, site=Site(mount({"": naming("app")}, {"": tmp_path, "/files": tmp_path})))
    for target in ("/a%20b", "/files/a%20b"):
        response = gateway.ask(f"{target}?q=1")
        assert (response.code, response["Location"]) == (301, f"{target}/?q=1")
        assert response["Cache-Control"] == "max-age=300"
        assert gateway.ask(target, "HEAD").code == 301
        assert gateway.ask(f"{target}/").body == b"index"
    assert not gateway.failures


def test_files_may_be_read_only(serve, mount, tmp_path):
    """Where no app takes over, other methods on a file are 405, and on nothing 404."""
    (tmp_path / "file.txt").write_text("file")
    gateway = serve({}, site=Site(mount({}, {"/files": tmp_path})))
    response = gateway.ask("/files/file.txt", "POST", body=b"x")
    assert (response.code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert gateway.ask("/files/none.txt", "POST").code == gateway.ask("/files/none.txt").code == 404


def test_ping_comes_first_for_reading_only(serve, mount):
    """GET /ping is the server's; an app may have a /ping of its own for other methods."""
    gateway = serve({}, site=Site(mount({"": naming("app")})))
    response = gateway.ask("/ping")
    assert (response.body, response["Content-Type"]) == (b"pong", "text/plain; charset=utf-8")
    assert gateway.ask("/ping?x").body == b"pong"
    assert gateway.ask("/ping", "HEAD").code == 200
    assert gateway.ask("/ping", "POST").body == b"app  /ping"
    assert gateway.ask("/pingpong").body == b"app  /pingpong"


def test_options_of_the_server_itself(serve, mount):
    """``OPTIONS *`` asks about the server, not about any app."""
    response = serve({}, site=Site(mount({"": naming("app")}))).ask("*", "OPTIONS")
    assert response.code == 204
    assert "OPTIONS" in response["Allow"]


# -- Twisted resources -------------------------------------------------------------------------------------


class Page(Resource):
    """Answers GET with what Twisted's traversal left."""

    isLeaf = True

    def render_GET(self, request):
        return b"|".join(
            [b"/".join(request.prepath), b"/".join(request.postpath), request.args.get(b"q", [b""])[0]]
        )


class Later(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.write(b"now ")
        request.channel.factory.reactor.callLater(0, self.finish, request)
        return NOT_DONE_YET

    def finish(self, request):
        request.write(b"later")
        request.finish()


class Raising(Resource):
    isLeaf = True

    def render_GET(self, request):
        raise ValueError("on purpose")


@pytest.fixture
def resources(serve, mount):
    """A server of Twisted resources."""
    tree = Resource()
    tree.putChild(b"a b", Page())
    mounts = mount(
        {"/page": Page(), "/tree": tree, "/later": Later(), "/raising": Raising(), "/off": Unavailable()}
    )
    return serve({}, site=Site(mounts))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/page", b"page||"),
        ("/page/", b"page||"),
        ("/page/x/y?q=1", b"page|x/y|1"),
        ("/%70age/x", b"page|x|"),
        ("/page/a%2Fb", b"page|a/b|"),
        ("/tree/a%20b/c", b"tree/a b|c|"),
    ],
)
def test_a_twisted_resource_can_be_mounted(resources, target, expected):
    """It finds its way by prepath and postpath, unescaped as under twisted.web."""
    with resources.client() as client:
        for _ in range(2):
            response = client.ask(target)
            assert (response.body, response["Content-Length"]) == (expected, str(len(expected)))


def test_a_twisted_resource_answers_head(resources):
    """HEAD has the length of what GET would send, and the connection goes on."""
    with resources.client() as client:
        assert client.ask("/page/x", "HEAD")["Content-Length"] == "7"
        assert client.ask("/page/x").body == b"page|x|"


def test_a_twisted_resource_may_answer_later(resources):
    """NOT_DONE_YET leaves the request open until finish()."""
    assert resources.ask("/later").body == b"now later"


def test_a_method_that_a_resource_does_not_know_is_405(resources):
    """The page says so, and Allow which ones it knows."""
    response = resources.ask("/page", "DELETE")
    assert response.code == 405
    assert {"GET", "HEAD"} <= set(response["Allow"].split(", "))
    assert not resources.failures


def test_a_resource_that_raises_is_500(resources):
    """The failure is that request's, and logged once."""
    with resources.client() as client:
        assert client.ask("/raising").code == 500
        assert client.ask("/page").code == 200
    assert len(resources.failures) == 1


@pytest.mark.filterwarnings("ignore:twisted.web.resource._UnsafeNoResource")
def test_a_missing_child_is_404_and_what_is_off_503(resources):
    """Error pages for what a resource does not have, and for a mount that cannot be served."""
    assert resources.ask("/tree/none").code == 404
    assert resources.ask("/off/x").code == 503

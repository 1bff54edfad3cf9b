"""Templates: one folder, escaping as the app says, and errors that say where."""

import os

import jinja2
import pytest

from skitai.saddle import Saddle
from skitai.saddle.outgoing.templates import Templates
from skitai.saddle.was import SaddleWas


@pytest.fixture
def folder(tmp_path):
    """A folder with templates in it, and a file beside it."""
    folder = tmp_path / "templates"
    (folder / "admin").mkdir(parents=True)
    (folder / "index.html").write_text("{{ choice }} {{ product }}")
    (folder / "admin" / "page.html").write_text("admin {{ a }}")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def make(folder, autoescape=False, debug=False, **more):
    return Templates(folder, autoescape=autoescape, debug=debug, **more)


def test_dictionary_or_keywords(folder, monkeypatch):
    """A dictionary and keywords give the same text; both, or two dictionaries, are an AssertionError."""
    monkeypatch.chdir(folder.parent)  # where the app is that has no module
    render = SaddleWas(Saddle("no_module"), {}).render
    assert render("index.html", {"choice": 2, "product": "Apples"}) == "2 Apples"
    assert render("index.html", choice=2, product="Apples") == "2 Apples"
    assert render("index.html") == " "
    with pytest.raises(AssertionError, match=r"'index\.html'.*one dictionary or keywords, not both"):
        render("index.html", {"choice": 2}, product="Apples")
    with pytest.raises(AssertionError):
        render("index.html", {}, {})


def test_variable_may_be_called_name(folder):
    """Names of variables do not clash with the method's own, when they come in a dictionary."""
    (folder / "name.html").write_text("{{ name }} {{ self_ }}")
    assert make(folder).render("name.html", {"name": "x", "self_": "y"}) == "x y"


def test_leading_slash(folder):
    """A leading slash means the templates folder."""
    assert make(folder).render("/admin/page.html", {"a": 1}) == "admin 1"


@pytest.mark.parametrize("name", ["../secret.txt", "/../secret.txt", "admin/../../secret.txt", "a\0b", ""])
def test_names_stay_in_the_folder(folder, name):
    """A name that leads out of the folder, or nowhere, finds nothing."""
    with pytest.raises(jinja2.TemplateNotFound, match="no template"):
        make(folder).render(name, {})


def test_missing_template_names_the_folder(folder):
    """The error tells the template and where it was looked for, also for one that is included."""
    (folder / "outer.html").write_text("{% include 'inner.html' %}")
    for name in ("inner.html", "outer.html"):
        with pytest.raises(jinja2.TemplateNotFound) as caught:
            make(folder).render(name, {})
        assert str(caught.value) == f"no template 'inner.html' in {folder}"


def test_missing_folder(tmp_path):
    """Without the folder all but rendering works, and that tells what is missing."""
    templates = make(tmp_path / "none")
    templates.environment.globals["x"] = 1
    with pytest.raises(jinja2.TemplateNotFound) as caught:
        templates.render("a.html", {})
    assert str(caught.value) == f"no template 'a.html': the folder {tmp_path / 'none'} is missing"


@pytest.mark.parametrize(("autoescape", "text"), [(False, "<b>"), (True, "&lt;b&gt;")])
def test_autoescape(folder, autoescape, text):
    """Values are escaped only where the app asks for it."""
    assert make(folder, autoescape=autoescape).render("index.html", {"choice": "<b>"}).strip() == text


def test_globals(folder):
    """Names added to the environment are known to templates, also to those of a part."""
    (folder / "g.html").write_text("{{ token() }} {{ 1|double }}")
    templates = make(folder)
    part = make(folder, parent=lambda: templates.environment)
    templates.environment.globals["token"] = lambda: "t"
    templates.environment.filters["double"] = lambda number: 2 * number
    assert templates.environment is templates.environment
    assert [each.render("g.html", {}) for each in (templates, part)] == ["t 2", "t 2"]


def test_settings_after_the_environment(folder):
    """What an app sets after it asked for its environment holds, also for templates read before."""
    (folder / "x.html").write_text("{{ x }}")
    templates = make(folder)
    assert templates.render("x.html", {"x": "<"}) == "<"
    templates.configure(autoescape=True, debug=True)
    assert templates.render("x.html", {"x": "<"}) == "&lt;"
    assert templates.environment.auto_reload


@pytest.mark.parametrize(("debug", "text"), [(True, "new"), (False, "old")])
def test_changed_template(folder, debug, text):
    """A changed file is seen with debug, and not read again without."""
    templates = make(folder, debug=debug)
    path = folder / "c.html"
    path.write_text("old")
    os.utime(path, (1, 1))
    assert templates.render("c.html", {}) == "old"
    path.write_text("new")
    os.utime(path, (2, 2))
    assert templates.render("c.html", {}) == text


def test_syntax_error_names_file_and_line(folder):
    """A template that cannot be read tells its file and line."""
    (folder / "bad.html").write_text("one\n{% if %}\n")
    with pytest.raises(jinja2.TemplateSyntaxError) as caught:
        make(folder).render("bad.html", {})
    assert (caught.value.filename, caught.value.lineno) == (str(folder / "bad.html"), 2)

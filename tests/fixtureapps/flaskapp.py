"""A small Flask app, written without a thought of Skitai."""

import hashlib
import io

from flask import Flask, Response, abort, redirect, request, send_file, session, url_for

app = Flask(__name__)
app.secret_key = "for tests only"


@app.route("/")
def index():
    return f"flask index {url_for('greet', name='a b')} {url_for('index')} {request.url}"


@app.route("/greet/<name>")
def greet(name):
    return f"hello {name} from {request.script_root}"


@app.route("/folder/")
def folder():
    return "folder"


@app.route("/go")
def go():
    return redirect(url_for("index"))


@app.route("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.route("/form", methods=["POST"])
def form():
    return f"{request.form['name']}|{request.form.getlist('many')}"


@app.route("/json", methods=["POST"])
def take_json():
    return {"given": request.get_json()}


@app.route("/upload", methods=["POST"])
def upload():
    file = request.files["file"]
    return f"{file.filename} {hashlib.sha256(file.read()).hexdigest()} {request.form['note']}"


@app.route("/stream")
def stream():
    return Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.route("/download")
def download():
    return send_file(io.BytesIO(b"0123456789" * 500_000), mimetype="application/octet-stream", etag="v1")


@app.route("/file")
def own_file():
    return send_file(__file__, mimetype="application/octet-stream", conditional=True)


@app.route("/fail")
def fail():
    raise ValueError("flask fails on purpose")


@app.route("/teapot")
def teapot():
    abort(418)

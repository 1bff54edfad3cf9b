"""What traced servers serve."""

PLAIN = """
import contextvars
import threading

from opentelemetry import trace

from skitai import was

tracer = trace.get_tracer("app")


def own(name):
    with tracer.start_as_current_span(name):
        pass
    return name


def call(path, query):
    if path == "/own":
        with tracer.start_as_current_span("work"):
            was.get(query).getwait()
    elif path == "/run":
        was.run(own, "in the run").getwait()
    elif path == "/thread":
        thread = threading.Thread(target=contextvars.copy_context().run, args=(own, "in the thread"))
        thread.start()
        thread.join()
    elif path == "/get":
        return was.get(query).getwait().data
    elif path == "/mine":
        return was.get(query, headers={"Traceparent": "mine"}).getwait().data
    elif path == "/many":
        was.get.map(query).getswait()
    elif path == "/rpc":
        was.jsonrpc(query).shop.buy(1).getwait()
    elif path == "/unwanted":
        was.get(query)
    elif path == "/cached":
        was.get(query).getwait().cache(60)
        was.get(query).getwait()
    elif path == "/db":
        file = ":memory:traced"
        was.db(file, "sqlite3").execute("create table people (name text)").getwait()
        was.db(file, "sqlite3").execute("insert into people values (?)", ("secret",)).getwait()
        was.db(file, "sqlite3").execute("select * from people where name = 'secret'").getwait()
        was.db(file, "sqlite3").execute("select * from nobody").getwait()
        with was.db.transaction(file, "sqlite3") as tx:
            tx.execute("delete from people")
    elif path == "/ws":
        was.ws(query, "hello").getwait()
    elif path == "/broken":
        raise ValueError(path)
    return b"hello"


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fields":
        body = f"{environ.get('HTTP_TRACEPARENT')} {environ.get('HTTP_TRACESTATE')}".encode()
    else:
        body = call(path, environ["QUERY_STRING"])
    start_response("503 Busy" if path == "/busy" else "200 OK", [("Content-Type", "text/plain")])
    return [body]
"""

SADDLE = """
from opentelemetry import trace

from skitai import was
from skitai.saddle import Saddle

app = Saddle(__name__)
tracer = trace.get_tracer("saddle")


@app.route("/people/<name>")
def people(was, name):
    return name


@app.route("/waiting")
async def waiting(was, url):
    with tracer.start_as_current_span("in the coroutine"):
        result = await was.get(url)
    return result.text
"""

FLASK = """
from flask import Flask, request

app = Flask(__name__)


@app.before_request
def tell_route():
    request.environ["skitai.route"] = request.url_rule.rule


@app.route("/users/<int:number>")
def user(number):
    return str(number)
"""

WITH_A_PROVIDER = """
import json

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

exporter = InMemorySpanExporter()
provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


def app(environ, start_response):
    with trace.get_tracer("app").start_as_current_span("own"):
        pass
    start_response("200 OK", [("Content-Type", "application/json")])
    spans = [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
    return [json.dumps(spans).encode()]
"""

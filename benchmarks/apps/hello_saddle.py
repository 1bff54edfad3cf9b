"""The hello view of Saddle."""

from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/")
def hello(_was):
    return "Hello, world!\n"

"""Answers when the seconds in the query are over; ``/count`` says how many waited to the end."""

from skitai import was

done = [0]


def app(environ, start_response):
    if environ["PATH_INFO"] != "/count":
        was.sleep(float(environ["QUERY_STRING"]))
        done[0] += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(done[0]).encode()]

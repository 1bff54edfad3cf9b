"""Apps whose Content-Length is wrong, missing or no number. The path says how: /SHAPE/ANNOUNCED/SENT."""


def app(environ, start_response):
    _, shape, announced, sent = environ["PATH_INFO"].split("/")
    body = b"x" * int(sent)
    headers = [("Content-Type", "application/octet-stream")]
    if announced:
        headers.append(("Content-Length", announced))
    write = start_response("200 OK", headers)
    if shape == "list":
        return [body[:3], body[3:]]
    if shape == "write":
        write(body[:3])
        write(body[3:])
        return []
    return iter([body[:3], body[3:]])

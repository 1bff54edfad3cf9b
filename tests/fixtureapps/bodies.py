"""Bodies in every shape that PEP 3333 allows, and in some that it does not."""

PIECES = [b"one ", b"", b"two ", b"three"]
WHOLE = b"one two three"
PLAIN = [("Content-Type", "text/plain")]


def as_list(environ, start_response):
    start_response("200 OK", PLAIN)
    return list(PIECES)


def as_tuple(environ, start_response):
    start_response("200 OK", PLAIN)
    return tuple(PIECES)


def as_generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield from PIECES


class Iterator:
    """An iterator that has no length."""

    def __init__(self, pieces):
        self._pieces = list(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        if not self._pieces:
            raise StopIteration
        return self._pieces.pop(0)


def as_iterator(environ, start_response):
    start_response("200 OK", PLAIN)
    return Iterator(PIECES)


class Sequence:
    """Has a length and items, but is neither a list nor an iterator."""

    def __len__(self):
        return len(PIECES)

    def __getitem__(self, index):
        return PIECES[index]


def as_sequence(environ, start_response):
    start_response("200 OK", PLAIN)
    return Sequence()


def as_list_of_str(environ, start_response):
    start_response("200 OK", PLAIN)
    return [piece.decode() for piece in PIECES]


def as_bytes_like(environ, start_response):
    start_response("200 OK", PLAIN)
    return [bytearray(b"one "), memoryview(b"two "), b"three"]


def by_write(environ, start_response):
    write = start_response("200 OK", PLAIN)
    for piece in PIECES:
        write(piece)
    return []


def by_write_and_list(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"one ")
    return [b"two ", b"three"]


def by_write_and_generator(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"one ")
    return (piece for piece in [b"two ", b"three"])


def starting_late(environ, start_response):
    yield b""
    start_response("200 OK", PLAIN)
    yield from PIECES


def as_instances(environ, start_response):
    """Call a class, as PEP 3333 shows it."""

    class App:
        def __iter__(self):
            start_response("200 OK", PLAIN)
            yield from PIECES

    return App()


ALL = {
    app.__name__: app
    for app in (
        as_list,
        as_tuple,
        as_generator,
        as_iterator,
        as_sequence,
        as_list_of_str,
        as_bytes_like,
        by_write,
        by_write_and_list,
        by_write_and_generator,
        starting_late,
        as_instances,
    )
}

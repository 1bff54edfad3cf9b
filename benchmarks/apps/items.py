"""What the views of databases ask for: `items` has 10,000 rows, all of them with the answer 42."""

import os
import random

DATABASE = os.environ["DATABASE"]
SQLITE = os.environ["SQLITE"]
ROWS = 10_000
SELECT = "SELECT id, name, answer FROM items WHERE id = {}"
SELECTS = 3


def any_id():
    """Return the key of a row: no two requests are the same, so nobody can share an answer."""
    return random.randint(1, ROWS)

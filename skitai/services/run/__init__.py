"""``was.run``: a function that blocks, in a thread of its own, as a call."""

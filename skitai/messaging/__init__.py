"""Messages between the parts of an app, wherever they run: the words of a bus, and the bus of one process."""

from skitai.messaging.words import Position, Published, Recent

__all__ = ["Position", "Published", "Recent"]

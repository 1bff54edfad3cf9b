"""A request and its response, whatever protocol carries them."""

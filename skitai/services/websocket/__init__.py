"""The websocket client behind ``was.ws``: one message and one reply, or whole conversations."""

"""What links the requests of one visitor: cookies, session, messages, CSRF tokens."""

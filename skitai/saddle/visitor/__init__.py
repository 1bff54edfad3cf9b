"""Who the client is from one request to the next: cookies, session, messages, CSRF tokens."""

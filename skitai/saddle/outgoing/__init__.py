"""What a client gets: the response, its body, redirects, templates."""

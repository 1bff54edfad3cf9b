"""What goes back: response, bodies, redirects, templates."""

"""What a client sent: the request, its arguments, forms and uploads."""

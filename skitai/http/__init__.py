"""The vocabulary of HTTP, written once for server, client and Saddle: fields, digest, codings."""

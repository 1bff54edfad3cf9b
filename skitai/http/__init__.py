"""The vocabulary of HTTP for server, client and Saddle: fields, statuses, digest, codings."""

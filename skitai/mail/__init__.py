"""Mail on disk: what is sent, to whom, and what became of it. The app writes it, the delivery agent reads it."""

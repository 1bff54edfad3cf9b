"""Mail on disk: what is sent, to whom, and what became of it. Apps write it, the delivery agent reads it."""

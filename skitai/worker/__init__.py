"""One worker process: the parts put together as the config says."""

"""Who blocks: what is said of code that holds the reactor, and of threads that are all busy."""

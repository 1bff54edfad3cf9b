"""The process around the worker: its log and its standard streams."""

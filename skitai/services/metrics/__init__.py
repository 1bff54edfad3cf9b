"""Metrics for Prometheus, and whether the server is ready: the section ``[metrics]`` of the config.

- ``counting`` counts requests and calls as they end, ``process`` looks at the process.
- ``report`` puts all figures of a worker on its slot of the board, once a second.
- ``exposition`` writes the sums of all workers as text; ``readiness`` says whether the server is ready.
- ``pages`` are the resources, ``port`` a port of their own.
"""

"""``python -m skitai.daemon.skitaid``: the same as ``skitaid``."""

from skitai.daemon.skitaid.command import main

raise SystemExit(main())

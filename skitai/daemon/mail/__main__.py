"""``python -m skitai.daemon.mail`` is the command ``skitai-mail``."""

from __future__ import annotations

from skitai.daemon.mail.command import main

if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m skitai``: the same as the command ``skitai``."""

from skitai.command.main import main

if __name__ == "__main__":
    main()

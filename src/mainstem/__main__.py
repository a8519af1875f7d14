"""``python -m mainstem``: the command line without its script on the path."""

from __future__ import annotations

from mainstem.cli import main

if __name__ == "__main__":
    main()

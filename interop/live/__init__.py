"""Independent readers of the live gateway's streams: npm's, PyPI's, a browser's own."""

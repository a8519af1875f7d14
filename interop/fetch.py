"""Fetches what comes from Maven Central, once, before several test processes ask for it."""

from __future__ import annotations

from interop.kafka import compiled_classpath
from interop.registry import registry_directory

if __name__ == "__main__":
    compiled_classpath()
    registry_directory()

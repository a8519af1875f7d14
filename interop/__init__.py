"""Clients and tools that know nothing of Mainstem, run unmodified against it."""

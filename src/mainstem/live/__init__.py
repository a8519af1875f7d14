"""Live: durable fan-out of the log to web pages, over server-sent events and WebSocket.

A *dispatcher* process reads the log and knows the channels; *worker* processes own the viewers'
sockets and never talk Kafka; a small binary bus joins them.
"""

from __future__ import annotations

__all__: list[str] = []

"""A schema registry inside the test's process: the Confluent REST API, kept in memory.

Registration, lookup, references, versions, soft and hard deletion, compatibility levels (those
of Avro are checked, others' pass) and the errors with their codes, as the documentation of the
Confluent Schema Registry has them. ``fail_next`` makes it answer errors on demand.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_LEVELS = {
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL",
    "FULL_TRANSITIVE",
}  # fmt: skip


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Version:
    number: int
    id: int
    deleted: bool = False


@dataclass(slots=True)
class RunningRegistry:
    """``url`` is where it listens; ``requests`` counts what it was asked, by method and path."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    fail_next: deque[int] = field(default_factory=deque)
    login: str | None = None
    _schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)
    _subjects: dict[str, list[_Version]] = field(default_factory=dict)
    _levels: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, body: Any) -> Any:
        """One request; raises ``_Refused`` for the registry's own errors."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        for pattern, handler in _ROUTES:
            match = re.fullmatch(pattern, f"{method} {parts.path}")
            if match:
                with self._lock:
                    return handler(
                        self, [unquote(part) for part in match.groups() if part], body, query
                    )
        raise _Refused(404, "HTTP 404 Not Found")

    # --- schemas and subjects ----------------------------------------------------------------

    def _by_id(self, parts: list[str], body: Any, query: Any) -> Any:
        del body, query
        found = self._schemas.get(int(parts[0]))
        if found is None:
            raise _Refused(40403, f"Schema {parts[0]} not found")
        return found

    def _register(self, parts: list[str], body: Any, query: Any) -> Any:
        del query
        subject, schema = parts[0], self._canonical(body)
        versions = self._subjects.setdefault(subject, [])
        known = self._ids.get(_key(schema))
        for version in versions:
            if version.id == known and not version.deleted:
                return {"id": known}
        if not self._compatible(subject, schema):
            raise _Refused(409, f'Schema being registered is incompatible with an earlier schema '
                                f'for subject "{subject}"')  # fmt: skip
        if known is None:
            known = len(self._schemas) + 1
            self._ids[_key(schema)] = known
            self._schemas[known] = schema
        number = max((version.number for version in versions), default=0) + 1
        versions.append(_Version(number, known))
        return {"id": known}

    def _lookup(self, parts: list[str], body: Any, query: Any) -> Any:
        del query
        known = self._ids.get(_key(self._canonical(body)))
        for version in self._live(parts[0]):
            if version.id == known:
                return self._described(parts[0], version)
        raise _Refused(40403, "Schema not found")

    def _list(self, parts: list[str], body: Any, query: Any) -> Any:
        del parts, body, query
        return sorted(
            name for name, found in self._subjects.items() if any(not v.deleted for v in found)
        )

    def _versions(self, parts: list[str], body: Any, query: Any) -> Any:
        del body, query
        return [version.number for version in self._live(parts[0])]

    def _version(self, parts: list[str], body: Any, query: Any) -> Any:
        del body, query
        return self._described(parts[0], self._find(*parts))

    def _delete(self, parts: list[str], body: Any, query: Any) -> Any:
        del body
        subject = parts[0]
        if query.get("permanent") == "true":
            found = self._subjects.get(subject)
            if not found:
                raise _missing(subject)
            if any(not version.deleted for version in found):
                raise _Refused(40405, f"Subject '{subject}' was not deleted first before being "
                                      "permanently deleted")  # fmt: skip
            del self._subjects[subject]
            return [version.number for version in found]
        live = self._live(subject)
        for version in live:
            version.deleted = True
        return [version.number for version in live]

    def _delete_version(self, parts: list[str], body: Any, query: Any) -> Any:
        del body, query
        found = self._find(*parts)
        found.deleted = True
        return found.number

    # --- compatibility -----------------------------------------------------------------------

    def _test(self, parts: list[str], body: Any, query: Any) -> Any:
        del query
        self._find(parts[0], parts[1])
        return {"is_compatible": self._compatible(parts[0], self._canonical(body))}

    def _get_level(self, parts: list[str], body: Any, query: Any) -> Any:
        del body, query
        subject = parts[0] if parts else ""
        if subject and subject not in self._levels:
            raise _Refused(40408, f"Subject '{subject}' does not have subject-level compatibility "
                                  "configured")  # fmt: skip
        return {"compatibilityLevel": self._levels.get(subject, "BACKWARD")}

    def _set_level(self, parts: list[str], body: Any, query: Any) -> Any:
        del query
        if body.get("compatibility") not in _LEVELS:
            raise _Refused(42203, "Invalid compatibility level")
        self._levels[parts[0] if parts else ""] = body["compatibility"]
        return body

    def _compatible(self, subject: str, schema: dict[str, Any]) -> bool:
        level = self._levels.get(subject, self._levels.get("", "BACKWARD"))
        live = [version for version in self._subjects.get(subject, ()) if not version.deleted]
        checked = live if level.endswith("_TRANSITIVE") else live[-1:]
        if (
            level == "NONE"
            or schema.get("schemaType", "AVRO") != "AVRO"
            or schema.get("references")
        ):
            return True
        from mainstem.client import avro_can_read

        new = schema["schema"]
        for version in checked:
            old = self._schemas[version.id]["schema"]
            if not level.startswith("FORWARD") and not avro_can_read(old, new):
                return False
            if not level.startswith("BACKWARD") and not avro_can_read(new, old):
                return False
        return True

    # --- inside ------------------------------------------------------------------------------

    def _canonical(self, body: Any) -> dict[str, Any]:
        """The schema as it is stored: JSON without needless blanks, no empty members."""
        text = body.get("schema") if isinstance(body, dict) else None
        if not isinstance(text, str) or not text:
            raise _Refused(42201, "Empty schema")
        kind = body.get("schemaType", "AVRO")
        if kind not in {"AVRO", "PROTOBUF", "JSON"}:
            raise _Refused(42201, f"Invalid schema type {kind}")
        if kind != "PROTOBUF":
            try:
                text = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
            except ValueError as error:
                raise _Refused(42201, f"Invalid schema {text}: {error}") from error
        references = body.get("references") or []
        for each in references:
            self._find(each["subject"], str(each["version"]))
        if kind == "AVRO" and not references:
            self._check_avro(text)
        found: dict[str, Any] = {"schema": text}
        if kind != "AVRO":
            found["schemaType"] = kind
        if references:
            found["references"] = references
        return found

    @staticmethod
    def _check_avro(text: str) -> None:
        from mainstem.client import avro_can_read
        from mainstem.errors import Invalid

        try:
            avro_can_read(text, text)
        except Invalid as error:
            raise _Refused(42201, f"Invalid schema: {error}") from error

    def _live(self, subject: str) -> list[_Version]:
        live = [version for version in self._subjects.get(subject, ()) if not version.deleted]
        if not live:
            raise _missing(subject)
        return live

    def _find(self, subject: str, number: str) -> _Version:
        live = self._live(subject)
        if number in {"latest", "-1"}:
            return live[-1]
        if not number.isdigit():
            raise _Refused(42202, f"The specified version '{number}' is not a valid version id")
        for version in live:
            if version.number == int(number):
                return version
        raise _Refused(40402, f"Version {number} not found")

    def _described(self, subject: str, version: _Version) -> dict[str, Any]:
        schema = self._schemas[version.id]
        return {"subject": subject, "version": version.number, "id": version.id, **schema}


def _missing(subject: str) -> _Refused:
    return _Refused(40401, f"Subject '{subject}' not found")


def _key(schema: dict[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


_Handler = Callable[[RunningRegistry, list[str], Any, Any], Any]
_ROUTES: list[tuple[str, _Handler]] = [
    (r"GET /schemas/ids/(\d+)", RunningRegistry._by_id),
    (r"GET /subjects", RunningRegistry._list),
    (r"POST /subjects/([^/]+)", RunningRegistry._lookup),
    (r"DELETE /subjects/([^/]+)", RunningRegistry._delete),
    (r"POST /subjects/([^/]+)/versions", RunningRegistry._register),
    (r"GET /subjects/([^/]+)/versions", RunningRegistry._versions),
    (r"GET /subjects/([^/]+)/versions/([^/]+)", RunningRegistry._version),
    (r"DELETE /subjects/([^/]+)/versions/([^/]+)", RunningRegistry._delete_version),
    (r"POST /compatibility/subjects/([^/]+)/versions/([^/]+)", RunningRegistry._test),
    (r"GET /config(?:/([^/]+))?", RunningRegistry._get_level),
    (r"PUT /config(?:/([^/]+))?", RunningRegistry._set_level),
]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: RunningRegistry


class _Requests(BaseHTTPRequestHandler):
    def _serve(self) -> None:
        assert isinstance(self.server, _Server)
        registry = self.server.registry
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size)
        registry.requests.append(f"{self.command} {self.path}")
        if registry.login is not None and self.headers.get("Authorization") != registry.login:
            self._send(401, {"error_code": 401, "message": "Unauthorized"})
        elif registry.fail_next:
            code = registry.fail_next.popleft()
            self._send(code, {"error_code": code, "message": "as the test wanted"})
        else:
            try:
                body = json.loads(data) if data else None
                self._send(200, registry.answer(self.command, self.path, body))
            except _Refused as error:
                status = error.code if error.code < 1000 else error.code // 100
                self._send(status, {"error_code": error.code, "message": str(error)})

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def running_registry() -> Iterator[RunningRegistry]:
    """An empty registry on a free loopback port until the block ends."""
    registry = RunningRegistry()
    server = _Server(("127.0.0.1", 0), _Requests)
    server.registry = registry
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

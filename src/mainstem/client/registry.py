"""A client of a Confluent-compatible schema registry: schemas by id, registered by subject."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from mainstem.client.security import Tls, tls_context
from mainstem.errors import Conflict, Denied, Invalid, MainstemError, Unavailable

SchemaType = Literal["AVRO", "PROTOBUF", "JSON"]
_CONTENT: Final = "application/vnd.schemaregistry.v1+json"
_LARGEST_ANSWER: Final = 64 << 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_FORGET_MISSING_AFTER: Final = 10.0
_MOST_MISSING: Final = 10_000


@dataclass(frozen=True, slots=True)
class Reference:
    """Another schema that one is built on: the name it is called by, and where it is."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema in the registry; ``subject`` and ``version`` are known if it was asked by them."""

    id: int
    type: str
    text: str
    references: tuple[Reference, ...] = field(default=())
    subject: str | None = None
    version: int | None = None


class Registry:
    """A schema registry at ``url``: the Confluent one, Karapace, Apicurio (``…/apis/ccompat/v7``).

    Several URLs may be given with commas; they are tried in turn. ``username`` and ``password``
    are for basic authentication, ``token`` for a bearer token, ``tls`` is as for ``connect``.
    What cannot be reached is tried again for ``retry_for`` seconds. Schemas never change, so
    they are remembered. Thread-safe; calls block.

    Methods raise ``Invalid`` for what is unknown or not a schema, ``Conflict`` for one that is
    not compatible with its subject, ``Denied``, and ``Unavailable``.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        tls: Tls | ssl.SSLContext | None = None,
        timeout: float = 10.0,
        retry_for: float = 30.0,
    ) -> None:
        self._urls = [_split(part.strip()) for part in url.split(",") if part.strip()]
        if not self._urls:
            raise Invalid(
                f"{url!r} is not the address of a schema registry: write http://HOST:PORT"
            )
        self._headers = {"Accept": f"{_CONTENT}, application/json", "User-Agent": "mainstem"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        elif username is not None:
            pair = f"{username}:{password or ''}".encode()
            self._headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        self._tls = tls_context(tls)
        self._timeout = timeout
        self._retry_for = retry_for
        self._lock = threading.Lock()
        self._by_id: dict[int, RegisteredSchema] = {}
        self._missing: dict[int, float] = {}
        self._ids: dict[Any, int] = {}
        self._random = random.Random()

    def __repr__(self) -> str:
        return f"Registry({self.url!r})"

    @property
    def url(self) -> str:
        """The first address, without a user or password it may hold."""
        scheme, host, port, path = self._urls[0]
        return f"{scheme}://{host}:{port}{path}"

    # --- schemas -----------------------------------------------------------------------------

    def schema(self, id: int) -> RegisteredSchema:  # noqa: A002 - the registry's word
        """The schema with this id; asked for once."""
        with self._lock:
            found = self._by_id.get(id)
            unknown_until = self._missing.get(id, 0.0)
        if found is not None:
            return found
        if unknown_until > time.monotonic():
            raise _unknown_id(id, self.url)
        try:
            answer = self._call("GET", f"/schemas/ids/{id}")
        except Invalid as error:
            with self._lock:
                if len(self._missing) >= _MOST_MISSING:
                    self._missing.clear()
                self._missing[id] = time.monotonic() + _FORGET_MISSING_AFTER
            raise _unknown_id(id, self.url) from error
        found = _schema({**answer, "id": id})
        with self._lock:
            return self._by_id.setdefault(id, found)

    def register(
        self,
        subject: str,
        text: str,
        type: SchemaType = "AVRO",  # noqa: A002 - the registry's word
        references: Sequence[Reference] = (),
    ) -> int:
        """The id of a schema in a subject, where it becomes the latest version if it is new."""
        return self._identify("versions", subject, text, type, references)

    def lookup(
        self,
        subject: str,
        text: str,
        type: SchemaType = "AVRO",  # noqa: A002
        references: Sequence[Reference] = (),
    ) -> int:
        """The id of a schema that is in a subject already. Raises ``Invalid`` otherwise."""
        return self._identify("", subject, text, type, references)

    def find(
        self,
        subject: str,
        text: str,
        type: SchemaType = "AVRO",  # noqa: A002
        references: Sequence[Reference] = (),
    ) -> RegisteredSchema:
        """As ``lookup``, with the version that the schema is in the subject."""
        path = f"/subjects/{quote(subject, safe='')}"
        answer = self._call("POST", path, _body(text, type, references))
        return _schema({"schema": text, **answer})

    def _identify(
        self,
        kind: str,
        subject: str,
        text: str,
        schema_type: str,
        references: Sequence[Reference],
    ) -> int:
        key = (kind, subject, text, schema_type, tuple(references))
        with self._lock:
            known = self._ids.get(key)
        if known is not None:
            return known
        path = f"/subjects/{quote(subject, safe='')}" + (f"/{kind}" if kind else "")
        answer = self._call("POST", path, _body(text, schema_type, references))
        found = _whole(answer, "id")
        with self._lock:
            return self._ids.setdefault(key, found)

    def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject; asked for every time."""
        return self.version(subject, "latest")

    def version(self, subject: str, version: int | Literal["latest"]) -> RegisteredSchema:
        """One version of a subject."""
        return _schema(self._call("GET", f"/subjects/{quote(subject, safe='')}/versions/{version}"))

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        return sorted(map(str, self._list("/subjects")))

    def versions(self, subject: str) -> list[int]:
        """The numbers of a subject's versions, oldest first."""
        return sorted(map(int, self._list(f"/subjects/{quote(subject, safe='')}/versions")))

    def compatible(
        self,
        subject: str,
        text: str,
        type: SchemaType = "AVRO",  # noqa: A002
        references: Sequence[Reference] = (),
    ) -> bool:
        """Whether a schema could be registered as the subject's next version."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest"
        return bool(self._call("POST", path, _body(text, type, references)).get("is_compatible"))

    def delete(self, subject: str, *, permanent: bool = False) -> list[int]:
        """Delete a subject; the versions it had. Ids stay readable unless ``permanent``."""
        path = f"/subjects/{quote(subject, safe='')}"
        found = self._request("DELETE", path, None)
        if permanent:
            found = self._request("DELETE", f"{path}?permanent=true", None)
        with self._lock:
            self._ids = {key: id_ for key, id_ in self._ids.items() if key[1] != subject}
        return [int(version) for version in found]

    # --- HTTP --------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found = self._request(method, path, body)
        if not isinstance(found, dict):
            raise self._strange(f"{method} {path}")
        return found

    def _list(self, path: str) -> list[Any]:
        found = self._request("GET", path, None)
        if not isinstance(found, list):
            raise self._strange(f"GET {path}")
        return found

    def _strange(self, what: str) -> MainstemError:
        return Unavailable(f"{self.url} gave no sense for {what}: is it a schema registry?")

    def _request(self, method: str, path: str, body: Any) -> Any:
        """One call, tried again at every address while it may help."""
        until = time.monotonic() + self._retry_for
        pause, tries = _FIRST_PAUSE, 0
        while True:
            url = self._urls[tries % len(self._urls)]
            tries += 1
            try:
                return self._once(url, method, path, body)
            except Unavailable as error:
                wait = self._random.uniform(0, pause)
                if time.monotonic() + wait >= until:
                    raise Unavailable(f"{error} [tried {tries} times]") from error
                if tries % len(self._urls) == 0:
                    time.sleep(wait)
                    pause = min(_LONGEST_PAUSE, pause * 2)

    def _once(self, url: tuple[str, str, int, str], method: str, path: str, body: Any) -> Any:
        scheme, host, port, prefix = url
        name = f"{scheme}://{host}:{port}"
        if scheme == "https":
            link: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=self._tls
            )
        else:
            link = http.client.HTTPConnection(host, port, timeout=self._timeout)
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else {**self._headers, "Content-Type": _CONTENT}
        try:
            link.request(method, prefix + path, data, headers)
            answer = link.getresponse()
            status, text = answer.status, answer.read(_LARGEST_ANSWER + 1)
        except ssl.SSLCertVerificationError as error:
            raise Denied(
                f"the certificate of the schema registry {name} is not trusted: "
                f"{error.verify_message}: give its authority with tls=Tls(ca=…)"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable(f"the schema registry {name} does not answer: {reason}") from error
        finally:
            link.close()
        if len(text) > _LARGEST_ANSWER:
            raise Invalid(f"{name} answered {method} {path} with more than 64 MiB")
        return _read(status, text, f"{name}: {method} {path}")


def _read(status: int, text: bytes, what: str) -> Any:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        found = None
    if 200 <= status < 300:
        return found
    reason, code = "", None
    if isinstance(found, Mapping):
        reason, code = str(found.get("message", "")), found.get("error_code")
    reason = reason or text[:200].decode("utf-8", "replace") or "no reason given"
    sentence = f"{what}: {reason.rstrip('.')} ({code or status})"
    if status in {401, 403}:
        raise Denied(f"{sentence}: check username, password or token")
    if status == 409:
        raise Conflict(f"{sentence}: make the schema compatible, or change the subject's rule")
    if status >= 500 or status in {408, 429}:
        raise Unavailable(sentence)
    raise Invalid(sentence)


def _split(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    try:
        usual = {"http": 80, "https": 443}[parts.scheme]
        port = parts.port or usual
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or parts.query or parts.username:
        # Without what may be a password.
        shown = f"{parts.scheme}://{parts.hostname}" if parts.hostname else url.rpartition("@")[2]
        raise Invalid(
            f"{shown} is not the address of a schema registry: "
            "write http://HOST:PORT, and the user as username=…, password=…"
        )
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _body(text: str, type: str, references: Sequence[Reference]) -> dict[str, Any]:  # noqa: A002
    body: dict[str, Any] = {"schema": text}
    if type != "AVRO":
        body["schemaType"] = type
    if references:
        body["references"] = [
            {"name": each.name, "subject": each.subject, "version": each.version}
            for each in references
        ]
    return body


def _schema(answer: Mapping[str, Any]) -> RegisteredSchema:
    text = answer.get("schema")
    if not isinstance(text, str):
        raise Unavailable("the schema registry's answer holds no schema: is it a registry?")
    references = tuple(
        Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
        for each in answer.get("references") or ()
    )
    subject, version = answer.get("subject"), answer.get("version")
    kind = str(answer.get("schemaType") or "AVRO")
    return RegisteredSchema(_whole(answer, "id"), kind, text, references, subject, version)


def _whole(answer: Mapping[str, Any], name: str) -> int:
    found = answer.get(name)
    if not isinstance(found, int) or not 0 <= found <= 0x7FFFFFFF:
        raise Unavailable(f"the schema registry's answer has {name}={found!r}: is it a registry?")
    return found


def _unknown_id(id: int, url: str) -> Invalid:  # noqa: A002
    return Invalid(f"the schema registry {url} has no schema with id {id}: is it the right one?")

"""What a topic's schemas are called in a registry, and what they are built on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mainstem.client.payloads import SubjectName
from mainstem.client.registry import Reference, RegisteredSchema, Registry, SchemaType
from mainstem.errors import Invalid

_MOST_REFERENCES: Final = 1000


class Subjects:
    """Finds and registers schemas of one type by topic. Thread-safe."""

    def __init__(
        self,
        registry: Registry | None,
        schema_type: SchemaType,
        strategy: SubjectName,
        *,
        register: bool,
    ) -> None:
        if not callable(strategy) and strategy not in {"topic", "record", "topic-record"}:
            raise Invalid(
                f'subject={strategy!r} is not valid: use "topic", "record", "topic-record" or a '
                "function of topic and record name"
            )
        self._registry = registry
        self._type: SchemaType = schema_type
        self._strategy = strategy
        self._register = register

    def name(self, topic: str | None, record: str) -> str:
        """The subject for values of a topic."""
        if callable(self._strategy):
            return self._strategy(topic or "", record)
        if self._strategy == "record":
            return record
        if topic is None:
            raise Invalid("the subject's name needs a topic: append to one, or use bind(topic)")
        return f"{topic}-value" if self._strategy == "topic" else f"{topic}-{record}"

    def identify(
        self,
        topic: str | None,
        record: str,
        text: str,
        references: Sequence[Reference] = (),
    ) -> int:
        """The id of a schema for a topic: registered where it is new and that is wanted."""
        assert self._registry is not None
        ask = self._registry.register if self._register else self._registry.lookup
        return ask(self.name(topic, record), text, self._type, references)

    def latest(self, topic: str | None, record: str = "") -> RegisteredSchema:
        """The newest schema of a topic's subject."""
        if self._registry is None:
            raise Invalid("use_latest needs a registry: give one")
        if self._strategy != "topic" and not record and not callable(self._strategy):
            raise Invalid('use_latest needs subject="topic": the record is not known before')
        found = self._registry.latest(self.name(topic, record))
        if found.type != self._type:
            raise Invalid(
                f"subject {self.name(topic, record)!r} holds schemas of type {found.type}, not "
                f"{self._type}"
            )
        return found

    def references(self, schema: RegisteredSchema) -> dict[str, RegisteredSchema]:
        """All schemas that one is built on, by the name it knows them by, the deepest first."""
        found: dict[str, RegisteredSchema] = {}
        self._collect(schema, found)
        return found

    def _collect(self, schema: RegisteredSchema, found: dict[str, RegisteredSchema]) -> None:
        assert self._registry is not None
        for each in schema.references:
            if each.name in found:
                continue
            if len(found) >= _MOST_REFERENCES:
                raise Invalid(f"schema {schema.id} is built on more than {_MOST_REFERENCES} others")
            below = self._registry.version(each.subject, each.version)
            found[each.name] = below  # before its own, so that a circle ends
            self._collect(below, found)
            found[each.name] = found.pop(each.name)

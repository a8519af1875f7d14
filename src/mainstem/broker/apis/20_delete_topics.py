"""DeleteTopics: by name, or by id from version 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, failure, refuse_duplicate, twice
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic

_UNKNOWN_TOPIC_ID = 100


async def handle(request: Message, call: Call) -> Message:
    """One result per topic; one that is named twice is refused, once."""
    broker = call.broker
    duplicates = twice((asked.name, asked.topic_id) for asked in request.topics)
    results = {}
    for asked in request.topics:
        key = (asked.name, asked.topic_id)
        if key not in results:
            results[key] = await _delete(broker, asked, duplicate=key in duplicates)
    return Message(responses=list(results.values()))


async def _delete(broker: Broker, asked: Message, *, duplicate: bool) -> Message:
    name, topic_id, code, text = asked.name, asked.topic_id, 0, None
    try:
        if duplicate:
            raise refuse_duplicate(f"topic {asked.name or asked.topic_id}")
        topic = _find(broker, asked)
        name, topic_id = topic.name, topic.id
        await broker.topics.delete(topic)
    except MainstemError as error:
        code, text = failure(broker, error)
    return Message(name=name, topic_id=topic_id, error_code=code, error_message=text)


def _find(broker: Broker, asked: Message) -> Topic:
    if asked.name is not None and asked.topic_id is not None:
        raise Invalid("give a topic's name or its id, not both", code=INVALID_REQUEST)
    if asked.name is not None:
        return broker.topics.require(asked.name)
    if asked.topic_id is None:
        raise Invalid("give a topic's name or its id: there is neither", code=INVALID_REQUEST)
    topic = broker.topics.by_id(asked.topic_id)
    if topic is None:
        raise Invalid(f"there is no topic with id {asked.topic_id}", code=_UNKNOWN_TOPIC_ID)
    return topic

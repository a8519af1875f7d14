"""Fixtures of the interop suite: one broker for the session, chosen by ``--target``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from interop.clients import Administrator, Client, load
from interop.cluster import start_kafka, start_mainstem


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--target",
        choices=("mainstem", "kafka"),
        default="mainstem",
        help="the broker under test; Apache Kafka proves that the tests themselves are right",
    )
    parser.addoption("--address", help="test the broker at HOST:PORT instead of starting one")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The clients' own deprecations are theirs; everything else stays an error."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file runs on one worker, and all that use the three-node cluster on the same one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByBroker(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::", 1)[0]
            ours = "client/" in path and not path.endswith(("test_access.py", "test_security.py"))
            return "three nodes" if ours else path

    return ByBroker(config, log)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--target"))


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, target: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address ``127.0.0.1:PORT`` of a running broker; it must also end well."""
    if address := request.config.getoption("--address"):
        yield str(address)
        return
    directory = tmp_path_factory.mktemp(target) / "data"
    if target == "kafka":
        kafka = start_kafka(directory)
        yield kafka.address
        kafka.stop()
        return
    mainstem = start_mainstem(directory)
    yield mainstem.address
    code, errors = mainstem.stop()
    assert (code, errors) == (0, ""), f"mainstem serve ended with {code} and said:\n{errors}"


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, Client]]:
    """The adapters made so far; each is made once."""
    made: dict[str, Client] = {}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(scope="session")
def connect(cluster: str, clients: dict[str, Client]) -> Callable[[str], Client]:
    """Return the adapter of that name."""

    def get(name: str) -> Client:
        if name not in clients:
            clients[name] = load(name, cluster)
        return clients[name]

    return get


@pytest.fixture(autouse=True)
def members_leave(clients: dict[str, Client]) -> Iterator[None]:
    """A failed test must not leave members in a group."""
    yield
    for client in clients.values():
        client.leave_all()


@pytest.fixture
def client(request: pytest.FixtureRequest, connect: Callable[[str], Client]) -> Client:
    return connect(request.param)


@pytest.fixture
def admin(connect: Callable[[str], Client]) -> Administrator:
    """The administrator that prepares and inspects where the test is about something else."""
    found = connect("confluent")
    assert isinstance(found, Administrator)
    return found


_numbers = itertools.count(1)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A topic or group name that no other test has."""
    words = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name).strip("-")
    return f"{words[:80]}-{next(_numbers)}"


@pytest.fixture
def topic(admin: Administrator, name: str) -> str:
    """A fresh topic of one partition."""
    admin.create_topic(name)
    return name

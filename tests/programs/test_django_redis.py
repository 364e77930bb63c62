"""Django's cache on the node, by django-redis and by Django's own backend, and sessions kept in it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import django.conf
import pytest
from django.core.cache import caches

from tests.system.harness import Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 10.0
BACKENDS = {"django-redis": "django_redis.cache.RedisCache", "django": "django.core.cache.backends.redis.RedisCache"}


@pytest.fixture(scope="module", autouse=True)
def settings(alone: Server) -> Iterator[None]:
    """Django's settings are the process's: no other file may configure it."""
    where = {
        name: {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{alone.port}/{number}", "KEY_PREFIX": "site"}
        for number, (name, backend) in enumerate(BACKENDS.items())
    }
    django.conf.settings.configure(
        CACHES={"default": where["django-redis"], **where},
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SECRET_KEY="of a test",
    )
    yield
    for cache in caches.all():
        cache.close()


@pytest.fixture(params=BACKENDS)
def either(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cache by either backend, left empty."""
    cache = caches[request.param]
    yield cache
    cache.clear()


@pytest.fixture
def cache() -> Iterator[Any]:
    """A cache by django-redis, left empty."""
    cache = caches["django-redis"]
    yield cache
    cache.clear()


def test_values_of_any_kind(either: Any) -> None:
    value = {"name": "Ann", "tags": [1, 2.5, None, "grüß dich"], "raw": b"\x00\xff"}
    either.set("person", value, timeout=100)
    assert either.get("person") == value
    assert either.get("nobody", "none") == "none"
    assert either.add("person", "other") is False
    assert either.add("fresh", "one") is True
    assert either.delete("fresh") is True
    assert either.get_or_set("made", lambda: 7) == 7
    assert "person" in either
    either.set_many({"a": 1, "b": 2})
    assert either.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    either.delete_many(["a", "b"])
    assert either.get_many(["a", "b"]) == {}


def test_versions(either: Any) -> None:
    either.set("page", "old", version=1)
    either.incr_version("page", version=1)
    assert either.get("page", version=1) is None
    assert either.get("page", version=2) == "old"


def test_values_expire(either: Any) -> None:
    either.set("kept", "yes", timeout=None)
    either.set("brief", "yes", timeout=100)
    assert either.touch("brief", 1) is True
    wait_until(lambda: either.get("brief") is None, DEADLINE_S, "it has expired")
    assert either.get("kept") == "yes"


def test_counting(either: Any) -> None:
    """django-redis counts by a script, and by GET and SET where there are none."""
    either.set("count", 5, timeout=100)
    assert either.incr("count", 2) == 7
    assert either.decr("count") == 6
    assert either.get("count") == 6


@pytest.mark.parametrize("name", ["django", "django-redis"])
def test_counting_what_is_missing(name: str) -> None:
    with pytest.raises(ValueError, match="not found"):
        caches[name].incr("missing")


def test_what_django_redis_adds(cache: Any) -> None:
    cache.set("brief", "yes", timeout=100)
    assert 90 < cache.ttl("brief") <= 100
    assert 90_000 < cache.pttl("brief") <= 100_000
    cache.persist("brief")
    assert cache.ttl("brief") is None
    assert cache.ttl("missing") == 0
    assert cache.set("brief", "no", nx=True) is False
    cache.set_many({f"user:{number}": number for number in range(50)})
    assert set(cache.iter_keys("user:*")) == {f"user:{number}" for number in range(50)}
    assert cache.delete_pattern("user:*") == 50
    assert cache.keys("*") == ["brief"]
    assert cache.sadd("colours", "red", "blue") == 2
    assert cache.smembers("colours") == {"red", "blue"}


def test_a_lock_keeps_others_out(cache: Any) -> None:
    lock = cache.lock("import", timeout=100)
    assert lock.acquire()
    assert cache.lock("import").acquire(blocking=False) is False
    assert lock.owned()


def test_a_lock_is_given_back(cache: Any) -> None:
    with cache.lock("import", timeout=100):
        assert cache.lock("import").acquire(blocking=False) is False
    assert cache.lock("import").acquire(blocking=False) is True


def test_sessions() -> None:
    store = import_module(django.conf.settings.SESSION_ENGINE).SessionStore
    session = store()
    session["basket"] = ["apple", "pear"]
    session.set_expiry(600)
    session.save()
    again = store(session_key=session.session_key)
    assert again["basket"] == ["apple", "pear"]
    again.flush()
    gone = store(session_key=session.session_key)
    assert not gone.exists(session.session_key)
    assert "basket" not in gone

"""Recognises metrics of resources of a process, host or container, by the names of the conventions.

OpenTelemetry's semantic conventions put the kind of machine first (`process.memory.usage`,
`container.cpu.time`, `jvm.thread.count`), other senders put what is used anywhere in the name
(`go_goroutines`, `node_filefd_allocated`, `rabbitmq.queue.messages`).

>>> [is_resource(name) for name in ("process.memory.usage", "db.client.connection.count", "kx.orders")]
[True, True, False]
>>> is_resource("nodejs_heap_size_used_bytes"), is_resource("http.server.request.duration")
(True, False)
>>> is_stock("process.memory.usage", "By"), is_stock("process.memory.limit", "By")
(True, False)
>>> is_stock("process.uptime", "s")
False
>>> [is_load_of_host(name) for name in ("system.cpu.utilization", "node_load1", "k8s.node.memory.usage")]
[True, True, True]
>>> [is_load_of_host(name) for name in ("process.memory.usage", "db.client.connection.count")]
[False, False]
"""

from __future__ import annotations

import re
from functools import lru_cache

# The first word of a name.
_PLACES = {"process", "system", "host", "node", "container", "k8s", "docker", "cgroup", "runtime"}
_PLACES |= {"jvm", "cpython", "nodejs", "v8js", "dotnet", "go"}
_USED = {"memory", "mem", "heap", "rss", "vms", "swap", "cpu", "disk", "filesystem", "inode", "inodes"}
_USED |= {"fd", "fds", "filefd", "descriptor", "descriptors", "handle", "handles", "goroutines"}
_USED |= {"thread", "threads", "connection", "connections", "conns", "socket", "sockets", "pool"}
_USED |= {"queue", "queues", "backlog"}
# What grows because time passes, or is a bound and no use.
_NO_STOCK = {"uptime", "time", "timestamp", "age", "limit", "limits", "max", "maximum", "capacity"}
_NO_STOCK |= {"request", "requests"}
# A machine by itself; what runs on it is known by its program's name. Load averages are numbered: `load1`.
_HOSTS = {"system", "host", "node"}
_LOAD = re.compile(r"cpu|load\d*|memory|mem|swap|pressure|psi|throttl\w*|disk|io")
_TIMES = {"s", "ms", "us", "ns", "min", "h", "d", "seconds", "milliseconds"}
_WORDS = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=20_000)
def is_resource(metric_name: str) -> bool:
    """Whether a metric says what is used up, rather than what the application does."""
    words = _words(metric_name)
    return bool(words) and (words[0] in _PLACES or not _USED.isdisjoint(words))


@lru_cache(maxsize=20_000)
def is_stock(metric_name: str, unit: str) -> bool:
    """Whether it is a resource that is held and given back, so that it cannot grow for ever."""
    return (
        is_resource(metric_name) and unit.lower() not in _TIMES and _NO_STOCK.isdisjoint(_words(metric_name))
    )


@lru_cache(maxsize=20_000)
def is_load_of_host(metric_name: str) -> bool:
    """Whether a metric says how busy a machine is: its processor, memory or disks."""
    words = _words(metric_name)
    place = words[1:] if words[:1] == ["k8s"] else words
    return bool(place) and place[0] in _HOSTS and any(map(_LOAD.fullmatch, place[1:]))


def _words(metric_name: str) -> list[str]:
    return [word for word in _WORDS.split(metric_name.lower()) if word]

"""Decides whose failure it is when a call fails without an answer: a service that is dead has no spans.

An address from which a service usually answers stands for that service. Where hardly any call gets through
to it any more, the failed calls are its own. Where some do (one replica of two is down, packets are lost, its
threads hang), a caller that fails by itself would fail towards others too, and a callee that fails would do
so towards all its callers. So with d of n calls of a caller lost and none of its m calls to others, they are
the callee's if a caller's own failure would hardly have missed those m: (n / (n + m))^d <= 1%. They stay the
caller's if the callee's own failure would hardly have missed the calls of other callers. In between both are
named, the callee with half of the weight.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.localise.behaviour import BEYOND_CHANCE_Z, signed_root
from detectors.localise.carried import Carried
from detectors.localise.dead import Dead
from detectors.localise.traces import Traces
from detectors.stats.arrays import BoolArray, IntArray
from detectors.trace.self_time import NO_PARENT

_ADDRESS = ("server.address", "net.peer.name", "peer.service", "network.peer.address")
_PORT = ("server.port", "net.peer.port", "network.peer.port")
_URL = ("url.full", "http.url")
_CALLING = pa.array(["CLIENT", "PRODUCER"])
_ALIVE_SHARE = 0.2  # share of the calls to a service: with more answers it is not dead
_ANSWERED_SHARE = 0.5  # share of the usual calls to an address: with fewer answers no service is missed
_LEAST_Z = 2.0  # the failure is known already; this decides whose failure it is
_MISSED_CHANCE = 0.01  # as of delays (`evidence.edge_time`)
_UNSURE = 0.5  # weight of a callee that may be at fault as well as its caller


def unanswered(traces: Traces, carried: Carried, failed: IntArray) -> tuple[list[Dead], IntArray]:
    """Services that do not answer, and the failed calls that surely are theirs.

    Args:
        failed: rows of the spans that failed first.
    """
    kinds = traces.table["span_kind"]
    calls = pc.is_in(kinds, value_set=_CALLING).to_numpy(zero_copy_only=False)
    addresses = _addresses(carried)
    below = np.flatnonzero(traces.parent != NO_PARENT)
    above = traces.parent[below]
    remote = traces.service[below] != traces.service[above]
    answer = np.full(len(traces.parent), -1, dtype=np.int64)
    answer[above[remote]] = below[remote]
    # The service that usually answers from an address; without addresses, by calling operation and called
    # service.
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero(calls).tolist():
        address = addresses.get(row, "")
        places[address, -1 if address else int(traces.operation[row])].append(row)
    mute = np.zeros(len(answer), dtype=np.bool_)
    mute[failed] = answer[failed] < 0
    found: list[Dead] = []
    theirs: list[int] = []
    for (address, _), members in places.items():
        rows = np.array(members, dtype=np.int64)
        now = traces.incident[rows]
        usual, present = rows[~now], rows[now]
        lost = rows[now & mute[rows]]
        answered = answer[usual] >= 0
        if not len(lost) or not answered.any() or answered.mean() < _ANSWERED_SHARE:
            continue
        operation, count = Counter(traces.operation[answer[usual[answered]]].tolist()).most_common(1)[0]
        if count < _ANSWERED_SHARE * answered.sum() and not address:
            continue  # calls to many services under one name: the address does not name one
        before = int(mute[usual].sum())
        numbers = (np.array([n]) for n in (len(lost), len(present), before, len(usual)))
        z = min(float(signed_root(*numbers)[0]), BEYOND_CHANCE_Z)
        if z < _LEAST_Z:
            continue
        weight = 1.0
        if (answer[present] >= 0).sum() > _ALIVE_SHARE * len(present):
            calling = np.setdiff1d(np.flatnonzero(calls & traces.incident), present)
            weight = _callee_weight(traces.service, mute, present, calling)
        if weight:
            where = f"at {address or traces.keys[int(operation)].service_name}"
            found.append(Dead(int(operation), lost, where, len(lost) / len(present), z * weight))
        if weight == 1:
            theirs += lost.tolist()
    return found, np.array(theirs, dtype=np.int64)


def _callee_weight(service: IntArray, mute: BoolArray, present: IntArray, elsewhere: IntArray) -> float:
    """The part of a callee that some calls reach: 1 where it surely fails, 0 where its caller surely does.

    Args:
        service, mute: of each span; whether it failed without an answer.
        present, elsewhere: rows of the calls to the callee, and to others.
    """
    callers, losses = np.unique(service[present[mute[present]]], return_counts=True)
    worst, lost = callers[np.argmax(losses)], int(losses.max())
    met = int((service[present] == worst).sum())
    if len(callers) == 1 and _hardly(met, len(present) - met, lost):
        return 0.0
    others = elsewhere[service[elsewhere] == worst]
    return 1.0 if not mute[others].any() and _hardly(met, len(others), lost) else _UNSURE


def _hardly(met: int, spared: int, lost: int) -> bool:
    """Whether chance hardly spares so many calls while it meets so many others.

    >>> _hardly(10, 10, 3), _hardly(10, 10, 7), _hardly(10, 0, 7)
    (False, True, False)
    """
    return bool((met / max(met + spared, 1)) ** lost <= _MISSED_CHANCE)


def _addresses(carried: Carried) -> dict[int, str]:
    ports = carried.texts(_PORT)
    found = {row: urlsplit(text).netloc for row, text in carried.texts(_URL).items()}
    hosts = carried.texts(_ADDRESS)
    found |= {row: f"{host}:{ports[row]}" if row in ports else host for row, host in hosts.items()}
    return {row: address for row, address in found.items() if address}

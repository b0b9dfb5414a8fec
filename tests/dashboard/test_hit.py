"""What the pages say of an incident's start."""

from __future__ import annotations

from dashboard.hit import likely_start, second_fault
from dashboard.triage import likely_cause

CAUSE = {"service": "shop", "operation": "SELECT carts", "share": 0.84, "confidence": "normal"}
SAID = "9 of 9 operations in 4 services take 2.9 times their usual own time, and none stands out"


def test_a_place_with_its_share() -> None:
    """The first cause is named with its part of the lost time; without causes nothing is."""
    assert (
        likely_start({"root_causes": [CAUSE]}) == "SELECT carts in shop, 84% of the excess, certainty normal"
    )
    assert likely_start({"root_causes": []}) == "none stands out yet"


def test_everything_slower_names_no_place() -> None:
    """Where all operations are slower at once, no service is sent for."""
    evidence = [{"kind": "everything_slower", "text": SAID}, {"kind": "self_time", "text": "x"}]
    causes = [{**CAUSE, "evidence": evidence, "score": 9.0}, {**CAUSE, "service": "pay", "score": 8.0}]
    for words in (likely_start, likely_cause):
        assert words({"root_causes": causes}) == f"no single place: {SAID}"
    assert not second_fault({"root_causes": causes}, [])


def test_a_saturated_host_is_the_start() -> None:
    """What rose on the host says more than that all is slower."""
    told = "node-1: system.cpu.utilization is 0.98, usually 0.3"
    evidence = [{"kind": "everything_slower", "text": SAID}, {"kind": "host_saturated", "text": told}]
    assert likely_start({"root_causes": [{**CAUSE, "evidence": evidence}]}) == f"the host: {told}"

from __future__ import annotations

import json

import pytest

from exchange_ref.faults.registry import CONTROLS, CUSTOMERS, KINDS
from exchange_ref.faults.schedule import parse_schedule
from exchange_ref.scenario.plan import SCENARIOS, Scenario, Split, is_control, plans

EVERY = [(scenario, split) for scenario in SCENARIOS.values() for split in Split]


@pytest.mark.parametrize(("scenario", "split"), EVERY)
def test_one_seed_one_truth(scenario: Scenario, split: Split) -> None:
    """The same name, split and seed give the same plans, another seed gives others."""
    assert plans(scenario, split, 3) == plans(scenario, split, 3)
    assert plans(scenario, split, 3) != plans(scenario, split, 9)


@pytest.mark.parametrize(("scenario", "split"), EVERY)
def test_every_plan_can_be_played(scenario: Scenario, split: Split) -> None:
    """Each plan is a schedule that the exchange accepts, with quiet before each step and after the last."""
    for seed in range(4):
        for plan in plans(scenario, split, seed):
            schedule = parse_schedule(json.dumps(plan.schedule()), "plan")
            assert len(schedule.faults) == sum(len(step.parts) for step in plan.steps)
            around = [plan.outside] if plan.outside is not None else []
            ends = [0.0, *(step.at_s + step.for_s for step in (*plan.steps, *around))]
            begins = [*(step.at_s for step in (*plan.steps, *around)), plan.duration_s]
            assert all(begin - end >= 3 for begin, end in zip(begins, ends, strict=True))
            assert begins[0] == plan.baseline_s >= 40
            assert plan.warm_up_s >= 10
            # A schedule counts from the begin of the load, a plan from the end of the warm-up.
            assert [fault.at_s for fault in schedule.faults[:1]] == pytest.approx(
                [step.at_s + plan.warm_up_s for step in plan.steps[:1]]
            )


def test_tuning_and_judging_sets_differ() -> None:
    """No strength that was drawn for tuning is drawn for judging, and the seeds of the runs differ."""
    for scenario in SCENARIOS.values():
        tune, judge = (plans(scenario, split, 0) for split in Split)
        assert not {plan.seed for plan in tune} & {plan.seed for plan in judge}
    delays = {
        split: [
            part.params["delay_ms"]
            for seed in range(10)
            for plan in plans(SCENARIOS["standard"], split, seed)
            for step in plan.steps
            for part in step.parts
            if part.kind == "gateway_delay"
        ]
        for split in Split
    }
    assert max(delays[Split.JUDGE]) < min(delays[Split.TUNE])


def test_standard_and_accounts_hold_everything() -> None:
    """Each of standard's runs has every control and every fault that traders meet once; those of accounts
    have every other fault, and people who meet it."""
    for plan in plans(SCENARIOS["accounts"], Split.JUDGE, 0):
        kinds = {part.kind for step in plan.steps for part in step.parts}
        assert kinds == {*CUSTOMERS, "snapshot_pause", "noop", "load_surge"}
        assert plan.customers_per_s > 0
    for plan in plans(SCENARIOS["standard"], Split.JUDGE, 0):
        assert sorted(part.kind for step in plan.steps for part in step.parts) == sorted(
            {*KINDS} - CUSTOMERS - {"snapshot_pause"}
        )
        assert sum(is_control(step) for step in plan.steps) == len(CONTROLS)


def test_standard_is_over_in_half_an_hour() -> None:
    """Five seeds one after another, with 15 s for start and end of each."""
    for split in Split:
        assert sum(plan.duration_s + 15 for plan in plans(SCENARIOS["standard"], split, 0)) < 30 * 60


def test_hard_drifts_cascades_and_overlaps() -> None:
    """Its runs have a tide whose day is the run, clients that ask again, faults that begin while others last,
    and causes strong enough to end the clients' patience."""
    for split in Split:
        for plan in plans(SCENARIOS["hard"], split, 0):
            assert plan.tide.day_s == plan.duration_s
            assert plan.tide.latency_ms > 0
            assert plan.retry.max_attempts > 1
            assert plan.retry.timeout_s is not None
            overlapping = [step for step in plan.steps if any(part.after_s for part in step.parts)]
            assert len(overlapping) == 1
            faults = json.dumps(plan.schedule())
            assert any(
                float(part.params.get(name, 0)) > plan.retry.timeout_s * 1000
                for step in plan.steps
                for part in step.parts
                for name in ("delay_ms", "hold_ms")
            ), faults

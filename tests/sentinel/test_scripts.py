"""The queue of scripts, with Redis's limits."""

from __future__ import annotations

from cluster.sentinel.scripts import MAX_QUEUED, MAX_RETRIES, MAX_RUNNING, Job, ScriptQueue
from cluster.sentinel.state import Periods
from tests.sentinel.world import usual

DELAY_MS = 30_000


def queue(count: int) -> ScriptQueue:
    scripts = ScriptQueue(Periods())
    for number in range(count):
        scripts.add("/script", (str(number),))
    return scripts


def start(scripts: ScriptQueue, now_ms: int) -> list[Job]:
    started = []
    for job in scripts.due(now_ms):
        job.pid = 1
        started.append(job)
    return started


def test_sixteen_run_at_a_time_in_order() -> None:
    scripts = queue(MAX_RUNNING + 2)
    running = start(scripts, 0)
    assert [job.arguments for job in running] == [(str(number),) for number in range(MAX_RUNNING)]
    assert start(scripts, 0) == []
    assert scripts.ended(running[3], 10, 0, 0)
    assert [job.arguments for job in start(scripts, 10)] == [(str(MAX_RUNNING),)]


def test_status_1_and_signals_are_tried_again_ever_later_and_ten_times_at_most() -> None:
    scripts = queue(1)
    now = 0
    for attempt in range(1, MAX_RETRIES):
        (job,) = start(scripts, now)
        assert not scripts.ended(job, now, 1 if attempt % 2 else 0, 0 if attempt % 2 else 9)
        wait_ms = DELAY_MS * 2 ** (attempt - 1)
        assert start(scripts, now + wait_ms - 1) == []
        now += wait_ms
    (job,) = start(scripts, now)
    assert scripts.ended(job, now, 1, 0)
    assert scripts.jobs == []


def test_other_statuses_are_final() -> None:
    scripts = queue(1)
    (job,) = start(scripts, 0)
    assert scripts.ended(job, 0, 2, 0)
    assert scripts.jobs == []


def test_after_a_minute_it_is_overdue() -> None:
    scripts = queue(1)
    (job,) = start(scripts, 0)
    assert scripts.overdue(60_000) == []
    assert scripts.overdue(60_001) == [job]


def test_of_too_many_the_oldest_that_does_not_run_is_dropped() -> None:
    scripts = queue(1)
    running = start(scripts, 0)
    for number in range(MAX_QUEUED):
        scripts.add("/other", (str(number),))
    assert len(scripts.jobs) == MAX_QUEUED
    assert scripts.jobs[0] is running[0]
    assert scripts.jobs[1].arguments == ("1",)


def test_warnings_go_to_one_script_and_new_addresses_to_the_other() -> None:
    world = usual(1, "notification-script /notify", "client-reconfig-script /reconfigure")
    world.kill(6379)
    world.run_until(lambda: all(one.sees != 6379 for one in world.sentinels.values()), 20)
    ran = {port: one.scripts for port, one in world.sentinels.items()}
    new = str(world.sentinels[5000].sees)
    for scripts in ran.values():
        assert ("/notify", "+sdown", "master mymaster 127.0.0.1 6379") in scripts
        assert not any(line[1] == "+slave" for line in scripts if line[0] == "/notify")
    moves = [line for scripts in ran.values() for line in scripts if line[0] == "/reconfigure"]
    ends = ("start", "127.0.0.1", "6379", "127.0.0.1", new)
    assert sorted(moves) == sorted([
        ("/reconfigure", "mymaster", role, *ends) for role in ("leader", "observer", "observer")
    ])  # fmt: skip


def test_a_primary_that_loads_for_long_after_a_reboot_is_replaced_if_that_is_wanted() -> None:
    for limit, replaced in ((0, False), (3000, True)):
        world = usual(1, f"master-reboot-down-after-period {limit}")
        world.kill(6379)
        world.run(0.5)
        world.start(6379)
        world.servers[6379].loading = True
        world.run(20)
        assert (world.sentinels[5000].sees != 6379) is replaced

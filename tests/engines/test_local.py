"""The local engine with real child processes: every way in which an attempt can end, and nothing is left of any."""

import os
import random
import signal
import sys
from pathlib import Path

import pytest
import trio
from engine_kit import COMMAND, HANG_S, LEASE_S, Hearer, gone, is_alive, lease, order

from etlplus.engines.contract import boottime_s
from etlplus.engines.leash import OBEY_WITHIN_S
from etlplus.engines.survivors import identity
from etlplus.errors import Problem, Unavailable
from etlplus.jobs.outcome import Failed, Returned, RunError, Succeeded

pytestmark = pytest.mark.slow
MIB = 2**20


async def until_spare(engine):
    """Wait until a child waits for work."""
    with trio.fail_after(HANG_S):
        while engine.statistics().spares < 1:  # noqa: ASYNC110 - the engine tells its state, not its moments
            await trio.sleep(0.005)


async def test_a_load_that_commits_succeeds_with_its_figures_and_its_memory(opened):
    """The figures come from the child; the peak of its memory is measured, not guessed."""
    async with opened() as engine:
        result = await engine.execute(order("succeed", params={"rows": 7}), lease(), Hearer())
    assert isinstance(result, Succeeded)
    assert result.figures.rows_read == 7
    assert 5 * MIB < result.figures.memory_peak_bytes < 500 * MIB


async def test_a_load_that_fails_says_why(opened):
    """The load's own classification reaches the daemon unchanged."""
    async with opened() as engine:
        result = await engine.execute(order("fail"), lease(), Hearer())
    assert result == Failed(RunError("data_error", "the third row is not a row"))


async def test_a_bug_in_the_load_is_told_with_its_type(opened):
    """A load that crashes is a failed attempt, not a lost engine."""
    async with opened() as engine:
        result = await engine.execute(order("crash"), lease(), Hearer())
    assert result == Failed(RunError("internal", "ZeroDivisionError: a bug in the load", retryable=True))


async def test_a_child_ended_by_a_signal_is_a_lost_engine_with_its_last_words(opened):
    """The signal is named, and the tail of a long standard error is quoted."""
    async with opened() as engine:
        result = await engine.execute(order("die"), lease(), Hearer())
    assert isinstance(result, Failed)
    assert (result.error.code, result.error.retryable) == ("engine_lost", True)
    assert "SIGKILL" in result.error.message
    assert result.error.message.endswith("the very last words")
    assert len(result.error.message) < 3000


async def test_a_child_killed_from_outside_is_a_lost_engine(opened):
    """kill -9 in the middle of a load is classified, so that the run is tried again."""
    hearer, results = Hearer(), []
    async with opened() as engine, trio.open_nursery() as nursery:

        async def carry():
            results.append(await engine.execute(order("defy"), lease(), hearer))

        nursery.start_soon(carry)
        os.kill(await hearer.pid(), signal.SIGKILL)
    assert [(r.error.code, r.error.retryable) for r in results] == [("engine_lost", True)]


async def test_a_child_that_vanishes_is_a_lost_engine(opened):
    """An exit without an answer is no success, whatever the exit code."""
    async with opened() as engine:
        result = await engine.execute(order("exit_quietly"), lease(), Hearer())
    assert isinstance(result, Failed)
    assert result.error.code == "engine_lost"
    assert "code 7" in result.error.message


@pytest.mark.parametrize("deed", ["garble", "garble_length"])
async def test_a_garbage_frame_ends_the_child(opened, deed):
    """A child that cannot be understood is killed, and the attempt may be tried again."""
    async with opened() as engine:
        with trio.fail_after(HANG_S):
            result = await engine.execute(order(deed), lease(), Hearer())
    assert isinstance(result, Failed)
    assert (result.error.code, result.error.retryable) == ("engine_lost", True)
    assert "cannot be understood" in result.error.message


async def test_stray_prints_harm_nobody(opened):
    """print, raw writes to descriptor 1 and programs that the load starts do not reach the frames."""
    async with opened() as engine:
        assert isinstance(await engine.execute(order("chatter"), lease(), Hearer()), Succeeded)


async def test_bounds_are_stored_before_the_load_goes_on(opened):
    """Each freeze waits for its own answer."""
    hearer = Hearer()
    async with opened() as engine:
        assert isinstance(await engine.execute(order("freeze"), lease(), hearer), Succeeded)
    assert hearer.bounds == [{"seen": 1}, {"seen": 2}]


async def test_the_load_stands_still_until_its_bounds_are_stored(opened, tmp_path):
    """A second freeze does not take the answer to the first for its own."""
    mark, early = tmp_path / "mark", []

    class Slow(Hearer):
        async def freeze(self, bounds):
            await trio.testing.wait_all_tasks_blocked(0.1)
            early.append(mark.exists())

    async with opened() as engine:
        assert isinstance(
            await engine.execute(order("freeze_and_mark", params={"mark": str(mark)}), lease(), Slow()), Succeeded
        )
    assert early == [False, False]
    assert mark.exists()


async def test_an_error_of_the_reports_is_the_callers_own(opened):
    """What the store raised comes out bare, not in a group, and the child is gone."""

    class Broken(Hearer):
        async def freeze(self, bounds):
            await trio.lowlevel.checkpoint()
            raise LookupError("no such run")

    async with opened() as engine:
        with pytest.raises(LookupError, match="no such run"):
            await engine.execute(order("freeze"), lease(), Broken())


async def test_the_bounds_of_an_earlier_attempt_reach_the_load(opened, data_dir):
    """The order is complete, and its work folder is gone afterwards."""
    async with opened() as engine:
        result = await engine.execute(order("tell_bounds", bounds={"rows": 5}), lease(), Hearer())
    assert isinstance(result, Succeeded)
    assert result.figures.rows_read == 5
    assert Path(result.figures.rejects_file).parent == data_dir / "work"


@pytest.mark.parametrize("deed", ["obey", "broken_interrupt"])
async def test_a_cancelled_load_is_rolled_back_in_order(opened, tmp_path, deed):
    """The load hears of it, even beside a broken callback, and the call ends as Cancelled."""
    hearer, mark = Hearer(), tmp_path / "rolled back"
    async with opened() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(engine.execute, order(deed, params={"rolled_back": str(mark)}), lease(), hearer)
        pid = await hearer.pid()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    assert mark.exists()
    assert not is_alive(pid)


@pytest.mark.parametrize("deed", ["defy", "defy_signals", "hold_the_interpreter", "flood"])
async def test_a_load_that_ignores_cancellation_is_ended(opened, deed):
    """Asleep, stopped, holding the interpreter or blocked on a full pipe: it is gone after the grace."""
    hearer = Hearer()
    with trio.fail_after(HANG_S):
        async with opened(stop_grace_s=0.2) as engine, trio.open_nursery() as nursery:
            nursery.start_soon(engine.execute, order(deed), lease(), hearer)
            pid = await hearer.pid()
            nursery.cancel_scope.cancel()
    assert not is_alive(pid)


async def test_an_attempt_past_its_lease_is_returned(opened):
    """Nobody extended the lease: the load stops by itself at the deadline and the run is given back."""
    async with opened() as engine:
        result = await engine.execute(order("outlive_lease"), lease(1.0), Hearer())
    assert result == Returned("the lease ran out")


@pytest.mark.parametrize("deed", ["defy", "defy_signals", "hold_the_interpreter"])
async def test_a_load_that_works_on_past_its_lease_is_ended(opened, deed):
    """At the deadline plus half a second the child is killed, whatever it does."""
    async with opened() as engine:
        with trio.fail_after(HANG_S):
            result = await engine.execute(order(deed), lease(1.0), Hearer())
        assert result == Returned("the lease ran out")
        assert engine.statistics().killed == 1


async def test_a_revoked_lease_ends_the_attempt(opened, tmp_path):
    """The load is told and may roll back before it is killed."""
    hearer, mine, results, mark = Hearer(), lease(), [], tmp_path / "rolled back"
    async with opened() as engine, trio.open_nursery() as nursery:

        async def carry():
            results.append(await engine.execute(order("obey", params={"rolled_back": str(mark)}), mine, hearer))

        nursery.start_soon(carry)
        await hearer.pid()
        mine.revoke()
    assert results == [Returned("the lease ran out")]
    assert mark.exists()


async def test_an_extended_lease_keeps_the_load_alive(opened):
    """One move before the deadline is enough: the load reports on beyond the first deadline, and ends at the second."""
    hearer, results = Hearer(), []
    async with opened(spares=1) as engine, trio.open_nursery() as nursery:
        await until_spare(engine)  # so that the lease begins when the load does
        first = boottime_s() + 2.0
        mine = lease(2.0)

        async def carry():
            results.append(await engine.execute(order("outlive_lease"), mine, hearer))
            results.append(boottime_s())

        nursery.start_soon(carry)
        await hearer.pid()
        mine.move(first + 1.5)
    assert results[0] == Returned("the lease ran out")
    assert results[1] >= first + 1.5


async def test_a_lease_that_ends_while_the_store_is_out_ends_the_attempt(opened):
    """An attempt that waits for its bounds to be stored does not outlive its lease."""

    class Out(Hearer):
        async def freeze(self, bounds):
            await trio.sleep_forever()

    async with opened() as engine:
        with trio.fail_after(HANG_S):
            assert await engine.execute(order("freeze"), lease(1.0), Out()) == Returned("the lease ran out")


async def test_a_load_over_its_memory_is_ended_and_classified(opened):
    """The machine is not taken down by one load; another attempt may do with less beside it."""
    async with opened() as engine:
        with trio.fail_after(HANG_S):
            result = await engine.execute(order("gobble", memory_limit_bytes=150 * MIB), lease(), Hearer())
    assert isinstance(result, Failed)
    assert (result.error.code, result.error.retryable) == ("out_of_memory", True)
    assert "of its 150 MiB" in result.error.message


async def test_a_child_that_cannot_be_started_is_a_failed_attempt(opened, tmp_path):
    """The operating system's refusal is told, and may pass."""
    async with opened(child_command=(str(tmp_path / "nothing"),)) as engine:
        result = await engine.execute(order("succeed"), lease(), Hearer())
        with pytest.raises(Unavailable, match="no child could be started"):
            await engine.check({"do": "succeed"}, {}, "")
    assert isinstance(result, Failed)
    assert (result.error.code, result.error.retryable) == ("engine_lost", True)


async def test_a_child_that_never_gets_ready_is_given_up(opened):
    """The handshake has a limit, though the load has none."""
    sleeper = (sys.executable, "-c", "import time; time.sleep(3600)")
    async with opened(child_command=sleeper, ready_within_s=0.3, stop_grace_s=0) as engine:
        result = await engine.execute(order("succeed"), lease(), Hearer())
    assert isinstance(result, Failed)
    assert "not ready within 0.3 s" in result.error.message


async def test_a_child_that_dies_at_birth_tells_why(opened):
    """An import that fails is quoted to the person who must mend it."""
    async with opened(child_command=(sys.executable, "-c", "import no_such_module")) as engine:
        result = await engine.execute(order("succeed"), lease(), Hearer())
    assert isinstance(result, Failed)
    assert "No module named 'no_such_module'" in result.error.message


async def test_an_attempt_without_a_folder_is_a_failed_attempt(opened, data_dir):
    """A data directory that cannot be written is told as the attempt's failure."""
    async with opened() as engine:
        (data_dir / "work").rmdir()
        result = await engine.execute(order("succeed"), lease(), Hearer())
        (data_dir / "work").mkdir()
    assert isinstance(result, Failed)
    assert "no folder could be made" in result.error.message


async def test_two_loads_work_at_once(opened):
    """Both children live at the same moment, and both are counted."""
    hearers = Hearer(), Hearer()
    async with opened(slots=2, stop_grace_s=0) as engine, trio.open_nursery() as nursery:
        for number, hearer in enumerate(hearers):
            nursery.start_soon(engine.execute, order("defy", run_id=f"r{number}"), lease(), hearer)
        pids = {await hearer.pid() for hearer in hearers}
        assert len(pids) == 2
        assert engine.statistics().working == 2
        assert engine.statistics().rss_bytes > 5 * MIB
        nursery.cancel_scope.cancel()


async def test_admission_waits_for_memory_and_can_be_cancelled(opened, data_dir):
    """The second load starts only when the first has given its memory back; a third that gives up leaves no trace."""
    first, second, given_up = Hearer(), Hearer(), trio.CancelScope()
    results = []
    async with opened(slots=2, memory_budget_bytes=200 * MIB, memory_limit_bytes=150 * MIB) as engine:
        async with trio.open_nursery() as nursery:

            async def carry(deed, hearer, scope):
                with scope:
                    results.append(await engine.execute(order(deed, run_id=deed), lease(), hearer))

            nursery.start_soon(carry, "defy", first, trio.CancelScope())
            pid = await first.pid()
            nursery.start_soon(carry, "succeed", second, trio.CancelScope())
            nursery.start_soon(carry, "freeze", Hearer(), given_up)
            await trio.testing.wait_all_tasks_blocked(0.05)
            given_up.cancel()
            assert engine.statistics().working == 1
            os.kill(pid, signal.SIGKILL)
    assert [type(result) for result in results] == [Failed, Succeeded]


async def test_a_spare_is_ready_and_each_load_has_a_fresh_one(opened):
    """A load takes the waiting child, and the next load another one."""
    pids = []
    async with opened(spares=1) as engine:
        for _ in range(3):
            await until_spare(engine)
            hearer, spawned = Hearer(), engine.statistics().spawned
            assert isinstance(await engine.execute(order("succeed"), lease(), hearer), Succeeded)
            pids.append(await hearer.pid())
            assert engine.statistics().spawned <= spawned + 1
    assert len(set(pids)) == 3


async def test_a_spare_that_died_while_waiting_is_not_given_work(opened, data_dir):
    """The next load has a living child, and the dead one is reaped."""
    async with opened(spares=1) as engine:
        await until_spare(engine)
        (spare,) = (int(record.name) for record in (data_dir / "children").iterdir())
        os.kill(spare, signal.SIGKILL)
        await gone(spare)
        assert isinstance(await engine.execute(order("succeed"), lease(), Hearer()), Succeeded)


async def test_an_attempt_in_hand_when_the_engine_closes_is_returned(opened):
    """The engine leaves no child behind, even if somebody still waits for one."""
    results, hearer = [], Hearer()
    async with trio.open_nursery() as nursery:
        async with opened() as engine:

            async def carry():
                results.append(await engine.execute(order("defy"), lease(), hearer))

            nursery.start_soon(carry)
            await hearer.pid()
    assert results == [Returned("the engine is closed")]
    assert await engine.execute(order("succeed"), lease(), Hearer()) == Returned("the engine is closed")


async def test_check_names_what_is_wrong(opened):
    """Problems come from the child, which knows the engine's language."""
    async with opened() as engine:
        assert await engine.check({"do": "no such deed"}, {}, "") == (Problem("wrong", "/do"),)
        assert await engine.check({"do": "succeed"}, {}, "") == ()


@pytest.mark.parametrize(("deed", "within_s", "said"), [("die", HANG_S, "SIGKILL"), ("defy", 0.5, "longer than 0.5 s")])
async def test_a_check_that_gets_no_answer_is_unavailable(opened, deed, within_s, said):
    """No answer is not the same as no problem."""
    async with opened(check_within_s=within_s) as engine:
        with pytest.raises(Unavailable, match=said):
            await engine.check({"do": deed}, {}, "")


async def test_an_order_too_large_for_a_frame_is_a_failed_attempt(opened):
    """The limit is told; no child is left waiting."""
    async with opened() as engine:
        result = await engine.execute(order("succeed", params={"text": "x" * (65 * MIB)}), lease(), Hearer())
    assert isinstance(result, Failed)
    assert (result.error.code, result.error.retryable) == ("invalid_plan", False)


async def test_cancellation_at_any_moment_leaves_nothing(opened):
    """Cancelled while it waits, starts a child, shakes hands, loads or ends: the fixture finds no child and no file."""
    rng = random.Random(20)
    async with opened(slots=4, stop_grace_s=0.05) as engine:
        async with trio.open_nursery() as nursery:

            async def cancelled(number, after_s):
                with trio.move_on_after(after_s):
                    deed = rng.choice(["succeed", "defy", "freeze", "flood"])
                    await engine.execute(order(deed, run_id=f"r{number}"), lease(), Hearer())

            for number in range(24):
                nursery.start_soon(cancelled, number, rng.uniform(0, 0.6))
        assert engine.statistics().working == 0


async def test_a_fault_point_kills_the_child_where_the_test_wants_it(opened, monkeypatch):
    """Only the named point acts."""
    monkeypatch.setenv("ETLPLUS_FAULT", "second=kill")
    async with opened() as engine:
        result = await engine.execute(order("reach_points"), lease(), Hearer())
        assert isinstance(result, Failed)
        monkeypatch.setenv("ETLPLUS_FAULT", "third=kill")
        assert isinstance(await engine.execute(order("reach_points"), lease(), Hearer()), Succeeded)


async def test_the_survivors_of_a_dead_daemon_are_ended_and_strangers_are_not(opened, data_dir, started):
    """A child is known by its number and the moment it started; a number alone may belong to anybody by now."""
    ours, stranger = (started("sleep", "3600", start_new_session=True) for _ in range(2))
    records = data_dir / "children"
    records.mkdir(parents=True)
    (records / str(ours.pid)).write_text(identity(ours.pid))
    (records / str(stranger.pid)).write_text("some other boot 12345")
    (records / "notes.txt").write_text("not a record")
    spilled = data_dir / "work" / "r1.1.1" / "spilled"
    spilled.parent.mkdir(parents=True)
    spilled.touch()
    async with opened():
        assert not is_alive(ours.pid)
        assert is_alive(stranger.pid)
        assert not spilled.exists()


@pytest.mark.parametrize("deed", ["defy", "flood", None])
async def test_an_orphan_is_gone_within_two_seconds(data_dir, started, deed):
    """kill -9 of the daemon: its loads and its spares end by themselves, without anybody's help and long before their lease.

    The kernel sees to the two seconds, from when a busy machine lets them notice.
    """
    assert OBEY_WITHIN_S < 2
    daemon = started(
        sys.executable, str(Path(__file__).with_name("daemon_to_kill.py")), str(data_dir), *filter(None, [deed])
    )
    records = data_dir / "children"
    wanted = 2 if deed else 1
    with trio.fail_after(HANG_S):
        while not (data_dir / "ready").exists():  # noqa: ASYNC110 - another process says so with a file
            await trio.sleep(0.01)
    pids = [int(record.name) for record in records.iterdir()]
    assert len(pids) == wanted
    daemon.kill()
    daemon.wait()
    for pid in pids:
        await gone(pid, LEASE_S / 2)


def test_the_scripted_child_is_what_the_engine_is_told_to_start():
    """The tests drive the same child program as the product, with other functions in it."""
    assert "child.serve(load, check)" in Path(COMMAND[1]).read_text("utf-8")

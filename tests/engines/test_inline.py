"""The inline engine runs what it is given in the caller's task and time."""

import pytest
import trio
from engine_kit import Hearer, order

from etlplus.engines.contract import Engine, Lease
from etlplus.engines.inline import Inline
from etlplus.jobs.outcome import Figures, Progress, Succeeded


async def test_a_script_takes_virtual_time_only(autojump_clock):
    """An hour of work is over at once, and its reports arrive."""
    hearer = Hearer()

    async def script(work, lease, reports):
        reports.progress(Progress(phase="1"))
        await reports.freeze({"size": 1})
        await trio.sleep(3600)
        assert engine.statistics().working == 1
        return Succeeded(Figures(rows_read=work.params["rows"]))

    engine: Engine = Inline(script)
    before = trio.current_time()
    result = await engine.execute(order("", params={"rows": 4}), Lease(float("inf")), hearer)
    assert result == Succeeded(Figures(rows_read=4))
    assert trio.current_time() - before == pytest.approx(3600)
    assert (hearer.bounds, hearer.progress_heard) == ([{"size": 1}], 1)
    assert (engine.statistics().working, engine.statistics().spawned) == (0, 1)


async def test_a_cancelled_script_is_no_longer_counted(autojump_clock):
    """The figures of the engine stay true."""

    async def script(work, lease, reports):
        await trio.sleep_forever()

    engine = Inline(script)
    with trio.move_on_after(1):
        await engine.execute(order(""), Lease(float("inf")), Hearer())
    assert engine.statistics().working == 0

"""Health, status and metrics tell what keeps the store from cleaning up behind itself."""

from __future__ import annotations

import re

from house_kit import House

from etlplus.actors.messages import GetPool, Probed
from etlplus.store.contract import Horizon


async def test_an_old_snapshot_is_a_warning_and_its_holder_is_named_to_those_who_may_know(house: House) -> None:
    """Health says for how long, to anybody; whose it is stands in the status and in the metrics."""
    assert (await house.http.get("/api/health")).json()["checks"][2]["status"] == "pass"
    horizon = Horizon(oldest_s=620.0, culprit="session 7 of app (report)", dead_ratio=0.25)
    house.service.house.pool.tell(Probed(0.002, horizon=horizon))
    await house.service.house.pool.ask(GetPool())
    health = (await house.http.get("/api/health")).json()
    assert (health["status"], health["checks"][2]) == (
        "warn",
        {"name": "horizon", "status": "warn", "detail": "the oldest snapshot is 620 s old, 25% of the rows are dead"},
    )
    status = (await house.http.get("/api/monitor/status", headers=house.signed_in)).json()
    assert status["horizon"] == {"oldest_s": 620.0, "culprit": "session 7 of app (report)", "dead_ratio": 0.25}
    metrics = (await house.http.get("/metrics", headers=house.signed_in)).text
    assert 'etlplus_store_oldest_snapshot_seconds{culprit="session 7 of app (report)"} 620.0' in metrics
    assert "etlplus_store_dead_rows_ratio 0.25" in metrics


async def test_an_outage_of_the_store_fails_health_and_keeps_the_last_horizon(house: House) -> None:
    """What was last seen is shown until the store answers again; each outage is counted once."""
    house.service.house.pool.tell(Probed(0.002, horizon=Horizon(oldest_s=9.0)))
    for _ in range(2):
        house.service.house.pool.tell(Probed(5.0, error="no answer within 5.0 s"))
    await house.service.house.pool.ask(GetPool())
    health = (await house.http.get("/api/health")).json()
    assert [check["status"] for check in health["checks"]] == ["fail", "pass", "pass", "pass"]
    assert re.fullmatch(r"outage since [-\d]+ [:\d]+Z: no answer within 5.0 s", health["checks"][0]["detail"])
    metrics = (await house.http.get("/metrics", headers=house.signed_in)).text
    for line in ("etlplus_store_up 0.0", "etlplus_store_outages_total 1.0"):
        assert line in metrics
    assert 'etlplus_store_oldest_snapshot_seconds{culprit=""} 9.0' in metrics

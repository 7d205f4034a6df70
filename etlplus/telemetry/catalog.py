"""
Every event that is logged and every metric that is exported, with its meaning.

A name that is not here is a mistake, and so is a name here that nobody uses: the house test compares both ways.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Metric(msgspec.Struct, frozen=True):
    """One metric. ``label`` names the one dimension it is split by, if any; the unit of a name without one is a count."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    sentence: str
    label: str = ""


SLOTS = Metric("etlplus_slots", "gauge", "slots", "Runs that this worker can execute at a time.")
SLOTS_BUSY = Metric("etlplus_slots_busy", "gauge", "slots", "Runs that this worker executes now.")
OUTCOMES_WAITING = Metric(
    "etlplus_outcomes_waiting", "gauge", "outcomes", "Outcomes of attempts that the store has not acknowledged yet."
)
STALE_RESULTS = Metric(
    "etlplus_stale_results_total", "counter", "results", "Outcomes refused because the run had moved on without them."
)
CALLS_DEAF = Metric(
    "etlplus_calls_deaf",
    "gauge",
    "calls",
    "Calls of functions that go on though they were told to end; each keeps its slot.",
)
LEASE_LEFT = Metric(
    "etlplus_lease_left_seconds", "gauge", "s", "Time until this worker loses its runs unless it renews its lease."
)
WATCHERS = Metric("etlplus_watchers", "gauge", "watchers", "Connections that follow the news now.")
WATCHERS_LET_GO = Metric(
    "etlplus_watchers_let_go_total", "counter", "watchers", "Watchers dropped because they fell too far behind."
)
NEWS = Metric("etlplus_news_total", "counter", "news", "Pieces of news that were told since the start.")
ACTORS = Metric("etlplus_actors", "gauge", "actors", "Actors that this daemon consists of now.")
ACTOR_CRASHES = Metric(
    "etlplus_actor_crashes_total",
    "counter",
    "crashes",
    "Crashes of actors, each followed by a restart or an escalation.",
)
MESSAGES = Metric("etlplus_messages_total", "counter", "messages", "Messages that were sent to actors.")
MESSAGES_QUEUED = Metric("etlplus_messages_queued", "gauge", "messages", "Messages that wait in mailboxes.")
MESSAGES_DEAD = Metric(
    "etlplus_messages_dead_total", "counter", "messages", "Messages that no actor handled; no dead letters of runs."
)
MESSAGES_UNACCOUNTED = Metric(
    "etlplus_messages_unaccounted",
    "gauge",
    "messages",
    "Messages that went nowhere; anything but 0 is a fault of ours.",
)
UPTIME = Metric("etlplus_uptime_seconds", "gauge", "s", "Time since this daemon started.")
LOOP_LATENESS = Metric(
    "etlplus_loop_lateness_seconds", "histogram", "s", "How long after its moment a waiting task comes to run."
)
STORE_UP = Metric(
    "etlplus_store_up", "gauge", "stores", "Whether the store answered when it was last looked at: 1, else 0."
)
STORE_LATENCY = Metric("etlplus_store_latency_seconds", "gauge", "s", "How long the store took to answer then.")
STORE_OUTAGES = Metric(
    "etlplus_store_outages_total", "counter", "outages", "How often the store stopped answering since the start."
)
STORE_OUTAGE = Metric(
    "etlplus_store_outage_seconds", "gauge", "s", "How long the store has not answered; 0 while it does."
)
STORE_CONNECTIONS_IN_USE = Metric(
    "etlplus_store_connections_in_use", "gauge", "connections", "Connections to the store in use now.", label="lane"
)
STORE_CONNECTIONS_IDLE = Metric(
    "etlplus_store_connections_idle", "gauge", "connections", "Connections that wait for use.", label="lane"
)
STORE_CONNECTIONS_OPENED = Metric(
    "etlplus_store_connections_opened_total", "counter", "connections", "Connections opened so far.", label="lane"
)
STORE_CONNECTIONS_CLOSED = Metric(
    "etlplus_store_connections_closed_total",
    "counter",
    "connections",
    "Connections that have ended, whoever ended them.",
    label="lane",
)
STORE_UNITS_WAITING = Metric(
    "etlplus_store_units_waiting", "gauge", "units", "Units of work that wait for a connection now.", label="lane"
)
STORE_CONNECTION_WAIT = Metric(
    "etlplus_store_connection_wait_seconds",
    "histogram",
    "s",
    "How long units of work waited for a connection.",
    label="lane",
)
STORE_OLDEST_SNAPSHOT = Metric(
    "etlplus_store_oldest_snapshot_seconds",
    "gauge",
    "s",
    "How long somebody else has kept the store from removing dead rows; the culprit is named.",
    label="culprit",
)
STORE_DEAD_ROWS = Metric(
    "etlplus_store_dead_rows_ratio", "gauge", "share", "Share of dead rows among those of unfinished runs."
)

BELLS_ARRIVE = Metric(
    "etlplus_bells_arrive", "gauge", "nodes", "Whether this node hears at once what other nodes do: 1, else 0."
)
BELLS_RUNG = Metric("etlplus_bells_rung_total", "counter", "bells", "Bells that this node rang for others.")
BELLS_HEARD = Metric("etlplus_bells_heard_total", "counter", "bells", "Bells of other nodes that this node heard.")
BELLS_SILENCES = Metric(
    "etlplus_bells_silences_total", "counter", "silences", "How often bells stopped arriving since the start."
)

METRICS: tuple[Metric, ...] = (
    SLOTS,
    SLOTS_BUSY,
    OUTCOMES_WAITING,
    STALE_RESULTS,
    CALLS_DEAF,
    LEASE_LEFT,
    WATCHERS,
    WATCHERS_LET_GO,
    NEWS,
    ACTORS,
    ACTOR_CRASHES,
    MESSAGES,
    MESSAGES_QUEUED,
    MESSAGES_DEAD,
    MESSAGES_UNACCOUNTED,
    UPTIME,
    LOOP_LATENESS,
    STORE_UP,
    STORE_LATENCY,
    STORE_OUTAGES,
    STORE_OUTAGE,
    STORE_CONNECTIONS_IN_USE,
    STORE_CONNECTIONS_IDLE,
    STORE_CONNECTIONS_OPENED,
    STORE_CONNECTIONS_CLOSED,
    STORE_UNITS_WAITING,
    STORE_CONNECTION_WAIT,
    STORE_OLDEST_SNAPSHOT,
    STORE_DEAD_ROWS,
    BELLS_ARRIVE,
    BELLS_RUNG,
    BELLS_HEARD,
    BELLS_SILENCES,
)

EVENTS: dict[str, str] = {
    "actor_crashed": "An actor raised something it did not declare; its supervisor restarts it by rule.",
    "answer_not_kept": "The store took a deed and not its answer; asked again with the same key, it is said to be done.",
    "bells_arrive": "What other nodes do is heard at once again; the dispatcher looks less often by itself.",
    "bells_not_rung": "The store did not take a bell for other nodes; it is rung later, and until then they look by themselves.",
    "bells_silent": "Other nodes are not heard, perhaps for want of store.postgres.listen_url; the dispatcher looks more often.",
    "board_not_read": "The store did not answer when a board that somebody watches was looked at; it is looked at later.",
    "bootstrap_token_issued": "There is no user yet; the named file holds the one-time token that makes the first admin.",
    "bounds_wait": "The store did not take what an attempt found in its sources; asked again shortly.",
    "bulletin_not_understood": "What another node published cannot be read here; told once for each, and made up for by snapshots.",
    "cancellation_ignored": "A function goes on ten seconds after it was told to end; the stack says where it stands.",
    "child_did_not_start": "A child process ended before it could take an order; the attempt failed and may be retried.",
    "claim_failed": "The dispatcher could not claim runs; tried again after a pause.",
    "connection_failed": "A client's connection ended in a way we did not foresee; told once per kind, then counted.",
    "connections_not_kept": "The store answers, but not all connections could be looked after; tried again shortly.",
    "draining": "The daemon was asked to stop: runs in hand may finish within the drain budget.",
    "draining_skipped": "A second signal came: what is in hand goes back to its queue now.",
    "engine_broke": "The engine raised something it never should; the attempt failed and may be retried.",
    "heartbeat_unanswered": "A beat found no store; runs are held until the lease ends.",
    "history_removed": "Finished runs that were too old or too much were removed with their history.",
    "lease_lost": "This worker was declared dead by others; what it carried was returned, and it joined anew.",
    "left_unheard": "The store was out when this worker stopped; what it still held is the others' when its lease ends.",
    "log_not_written": "An attempt ended while the store was out; the last lines of its log are lost, its outcome is not.",
    "logs_wait": "The store did not take what attempts log; it is kept, up to a bound, and offered again.",
    "message_not_handled": "An actor was told something while it stopped, or before; told ten times in five minutes at most.",
    "news_not_published": "The store did not take what watchers of other nodes are told; they are told later.",
    "news_not_read": "The store did not answer when news of other nodes were read; they are read later.",
    "old_store_damaged": "The store that a restore replaces could not be read; it is kept aside as it was.",
    "outcomes_not_settled": "The daemon stops with outcomes that the store never took; a rescue will repeat those runs.",
    "outcomes_not_written": "The store is there and cannot write one of these outcomes; they are told one by one.",
    "outcomes_wait": "The store did not take outcomes; they are kept and offered again.",
    "request_failed": "A request met a mistake of ours; its id is in the client's answer.",
    "rescue_failed": "The rescue could not ask the store; tried again after its grace.",
    "runs_rescued": "Runs of a dead worker went back to their queue.",
    "serving": "The daemon listens at the named ports.",
    "stale_result": "An outcome came after its run had moved on; it was counted and not applied.",
    "stopped": "The daemon has stopped in order.",
    "store_is_back": "The store answers again.",
    "store_outage": "The store does not answer.",
    "survivors_killed": "Children of a daemon that died were still alive; they were ended before anything else began.",
    "tick_failed": "The scheduler could not ask the store for due schedules; tried again.",
    "tidy_failed": "The store did not answer when history was to be removed; tried again in an hour.",
    "watcher_does_not_read": "A watcher did not take a message in time; its connection was closed.",
}
"""Names of events, in the past or present tense as they read in a line, with what they mean for an operator."""

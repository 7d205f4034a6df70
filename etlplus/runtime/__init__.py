"""
Actors on Trio: typed messages, bounded mailboxes that survive crashes, and supervision under structured concurrency.

Stands on Trio, msgspec and the standard library only, and knows nothing of jobs: the folder works when it is copied out.
``open_system`` is the way in.
"""

from .actor import Actor, Context, Task, Timer
from .cell import Exit
from .dead_letters import DeadLetter
from .errors import (
    ActorRestarted,
    ActorStopped,
    AskCycle,
    AskTimeout,
    GaveUp,
    Killed,
    MailboxFull,
    Refuse,
    RuntimeFault,
    StartFailed,
    SystemFailed,
    Unhandled,
    Wedged,
)
from .groups import unwrapped
from .messages import Ask, Tell
from .node import Crash
from .ref import Name, Pending, Ref
from .specs import (
    Backoff,
    Child,
    Dynamic,
    Intensity,
    Mailbox,
    Pool,
    Spawn,
    Spawner,
    Supervisor,
    child,
    drop_oldest,
    fail,
    keep_latest,
    least_loaded,
    one_for_all,
    one_for_one,
    permanent,
    rest_for_one,
    round_robin,
    temporary,
    transient,
)
from .system import System, open_system
from .tap import Seen, Tap
from .tree import ActorSnapshot, Statistics, TreeSnapshot

__all__ = [
    "Actor",
    "ActorRestarted",
    "ActorSnapshot",
    "ActorStopped",
    "Ask",
    "AskCycle",
    "AskTimeout",
    "Backoff",
    "Child",
    "Context",
    "Crash",
    "DeadLetter",
    "Dynamic",
    "Exit",
    "GaveUp",
    "Intensity",
    "Killed",
    "Mailbox",
    "MailboxFull",
    "Name",
    "Pending",
    "Pool",
    "Ref",
    "Refuse",
    "RuntimeFault",
    "Seen",
    "Spawn",
    "Spawner",
    "StartFailed",
    "Statistics",
    "Supervisor",
    "System",
    "SystemFailed",
    "Tap",
    "Task",
    "Tell",
    "Timer",
    "TreeSnapshot",
    "Unhandled",
    "Wedged",
    "child",
    "drop_oldest",
    "fail",
    "keep_latest",
    "least_loaded",
    "one_for_all",
    "one_for_one",
    "open_system",
    "permanent",
    "rest_for_one",
    "round_robin",
    "temporary",
    "transient",
    "unwrapped",
]

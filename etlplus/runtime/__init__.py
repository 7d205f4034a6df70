"""
Actors on Trio: typed messages, bounded mailboxes that survive crashes, and supervision under structured concurrency.

Stands on Trio, msgspec and the standard library only, and knows nothing of jobs. ``open_system`` is the way in.
"""

from etlplus.runtime.actor import Actor, Context, Task
from etlplus.runtime.cell import Exit
from etlplus.runtime.errors import (
    ActorRestarted,
    ActorStopped,
    AskCycle,
    AskTimeout,
    GaveUp,
    MailboxFull,
    Refuse,
    RuntimeFault,
    StartFailed,
    SystemFailed,
    Unhandled,
)
from etlplus.runtime.groups import lone
from etlplus.runtime.messages import Ask, Tell
from etlplus.runtime.ref import Name, Ref
from etlplus.runtime.specs import (
    Backoff,
    Child,
    Dynamic,
    Intensity,
    Mailbox,
    Spawn,
    Spawner,
    Supervisor,
    child,
    one_for_all,
    one_for_one,
    permanent,
    rest_for_one,
    temporary,
    transient,
)
from etlplus.runtime.system import System, open_system
from etlplus.runtime.tree import ActorSnapshot, TreeSnapshot

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
    "Dynamic",
    "Exit",
    "GaveUp",
    "Intensity",
    "Mailbox",
    "MailboxFull",
    "Name",
    "Ref",
    "Refuse",
    "RuntimeFault",
    "Spawn",
    "Spawner",
    "StartFailed",
    "Supervisor",
    "System",
    "SystemFailed",
    "Task",
    "Tell",
    "TreeSnapshot",
    "Unhandled",
    "child",
    "lone",
    "one_for_all",
    "one_for_one",
    "open_system",
    "permanent",
    "rest_for_one",
    "temporary",
    "transient",
]

"""The journal of the networks: what was adopted, what it means for the ledger, and how it is taken back.

One door to its parts. Adopting, rewinding and finalising are one transaction each, under the network's cursor row and the lease's
fencing epoch; raw logs and transfers are never changed; a replay answers with nothing new, other content under a known id raises
LedgerBroken and stops that network alone.
"""

from aggregator.store.journal_adopt import Adopted, Adoption, adopt, begin
from aggregator.store.journal_final import finalise, true_up
from aggregator.store.journal_history import post_history
from aggregator.store.journal_lock import Books, Cursor, load_cursor, load_cursors, recent
from aggregator.store.journal_rewind import rewind
from aggregator.store.journal_rows import Decoded
from aggregator.store.journal_state import (
    Audit,
    LinkedSafe,
    audit,
    linked_safes,
    resume,
    seen_alive,
    set_custody,
    stop,
)

__all__ = [
    "Adopted",
    "Adoption",
    "Audit",
    "Books",
    "Cursor",
    "Decoded",
    "LinkedSafe",
    "adopt",
    "audit",
    "begin",
    "finalise",
    "linked_safes",
    "load_cursor",
    "load_cursors",
    "post_history",
    "recent",
    "resume",
    "rewind",
    "seen_alive",
    "set_custody",
    "stop",
    "true_up",
]

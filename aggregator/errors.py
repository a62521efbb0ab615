"""The error tree. The first split is the only one a caller needs: try again, change the input, or wake a person.

IsthmusError
├── Retryable            the same call may succeed later: a node is away, a lock is held, the database restarts
│   ├── NodeUnavailable      no endpoint of a network gave an answer
│   └── LeaseHeld            another process writes this network or shard
├── Rejected             the input breaks a named rule; the message names the field and the fix; nothing was changed
│   ├── ConfigInvalid        a setting or network file
│   ├── MandateForbids       the client has not allowed this
│   ├── MarginInsufficient   the result would break initial margin
│   ├── NotFound             no such account, figure or action
│   └── Conflict             the idempotency key, need or ticket is taken
└── Broken               an invariant does not hold; work on that network or account stops and a person is told
    ├── ServiceError         a local service (see aggregator.local.processes)
    ├── LedgerBroken         postings do not sum to zero, or an id returned with other content
    ├── ReorgPastFinality    a network took back a block that was final
    ├── ForeignNetwork       an endpoint answers for another chain id
    ├── DriftFound           ledger and network disagree at a finalised block
    └── ForeignNonce         a nonce of ours was used by a transaction we never signed
"""

from __future__ import annotations


class IsthmusError(Exception):
    """Base of everything that Isthmus raises on purpose."""


class Retryable(IsthmusError):
    """The same call may succeed later."""


class NodeUnavailable(Retryable):
    """No endpoint of the network answered."""


class LeaseHeld(Retryable):
    """Another process holds the lease."""


class Rejected(IsthmusError):
    """The input breaks a named rule."""


class ConfigInvalid(Rejected):
    """A setting or a network file is wrong; the message names it."""


class MandateForbids(Rejected):
    """The client's mandate does not allow this."""


class MarginInsufficient(Rejected):
    """Initial margin would be broken."""


class NotFound(Rejected):
    """Nothing has that name."""


class Conflict(Rejected):
    """The key is taken."""


class Broken(IsthmusError):
    """An invariant does not hold."""


class ServiceError(Broken):
    """A local service failed."""


class LedgerBroken(Broken):
    """The ledger's laws do not hold."""


class ReorgPastFinality(Broken):
    """A final block was taken back."""


class ForeignNetwork(Broken):
    """The endpoint is of another network."""


class DriftFound(Broken):
    """Ledger and network disagree."""


class ForeignNonce(Broken):
    """A nonce was used by bytes that we never signed."""

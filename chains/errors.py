"""The error tree of the chains library. The first split is the only one a caller needs.

ChainError
├── ChainRetryable       the same call may succeed later
│   ├── NodeUnavailable      no endpoint of the network answered            (chains.rpc.errors)
│   ├── BlockUnknown         a node does not know, or no longer holds canonical, the block asked for
│   ├── FeeAboveLimit        the base fee is above the network file's limits.max_fee_gwei
│   └── SenderUnfunded       the sender cannot pay for value and gas
├── ChainRejected        the input breaks a named rule; nothing was sent
│   ├── RpcError             a node understood the request and refused it   (chains.rpc.errors)
│   ├── WouldRevert          the simulated call reverts; no nonce was taken
│   ├── DeadlinePassed       the action's deadline is behind the network's head
│   └── ActionUnsupported    no protocol of this network encodes the action
└── ChainBroken          an invariant does not hold; work on that network stops and a person is told
    ├── ForeignNetwork       an endpoint answers for another chain id       (chains.rpc.errors)
    ├── AnswerInvalid        a node's answer contradicts itself             (chains.rpc.errors)
    ├── MalformedLog         a log with a known topic does not fit its event
    ├── ReorgPastFinality    a network took back a block that was final
    └── ForeignNonce         a nonce of ours was used by bytes that we never signed
"""

from __future__ import annotations


class ChainError(Exception):
    """Base of everything the chains library raises on purpose."""


class ChainRetryable(ChainError):
    """The same call may succeed later."""


class ChainRejected(ChainError):
    """The input breaks a named rule; nothing was sent."""


class ChainBroken(ChainError):
    """An invariant does not hold."""


class BlockUnknown(ChainRetryable):
    """A node does not know the block, or it is no longer canonical: the network moved; ask again from the new head."""


class FeeAboveLimit(ChainRetryable):
    """The network's base fee is above limits.max_fee_gwei of its file."""


class SenderUnfunded(ChainRetryable):
    """The sender's native coin does not cover the value and the gas at the offered fee: fund it."""


class WouldRevert(ChainRejected):
    """The simulation reverted. `data` is the revert data, `reason` its text or error selector."""

    def __init__(self, message: str, reason: str, data: bytes) -> None:
        super().__init__(message)
        self.reason = reason
        self.data = data


class DeadlinePassed(ChainRejected):
    """The deadline (block time) is not ahead of the head."""


class ActionUnsupported(ChainRejected):
    """No protocol listed in this network's file encodes the action."""


class MalformedLog(ChainBroken):
    """A log carries a known topic, but its topics or data do not fit the event."""


class ReorgPastFinality(ChainBroken):
    """The network no longer holds the oldest block we keep, which was final."""


class ForeignNonce(ChainBroken):
    """A nonce was used by bytes that we never signed, or the network is ahead of our slots."""

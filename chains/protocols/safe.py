"""Safe accounts: everything their custody rests on. 1.3 (arguments in the data) and 1.4 or newer (indexed) are understood.

Pure. Accounts are born by a factory, so no address stands in the network's file: the caller adds `watched_accounts`. Posting
decides which changes break custody; `executed` also tells that the Safe's nonce moved, which voids its open tickets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chains import abi
from chains.actions import AnyAction
from chains.decoding import Decoder, Encoder, decode_with, topics
from chains.events import AnyEvent, CustodyChanged
from chains.networks.network import Network
from chains.types import Address, Log, Read

NAME = "safe"
ENCODERS: dict[type[AnyAction], Encoder] = {}

# signature -> (what changed, whether its first argument is an address)
_CHANGES: dict[str, tuple[str, bool]] = {
    "ExecutionSuccess(bytes32,uint256)": ("executed", False),
    "ExecutionFailure(bytes32,uint256)": ("execution_failed", False),
    "EnabledModule(address)": ("module_enabled", True),
    "DisabledModule(address)": ("module_disabled", True),
    "ChangedGuard(address)": ("guard_changed", True),
    "ChangedModuleGuard(address)": ("module_guard_changed", True),
    "ChangedFallbackHandler(address)": ("handler_changed", True),
    "AddedOwner(address)": ("owner_added", True),
    "RemovedOwner(address)": ("owner_removed", True),
    "ChangedThreshold(uint256)": ("threshold_changed", False),
    "ChangedMasterCopy(address)": ("singleton_changed", True),
}
TOPICS = topics(*_CHANGES)


def watched(network: Network) -> frozenset[Address]:
    """Nothing: accounts are found through their factory."""
    return frozenset()


def watched_accounts(safes: Iterable[Address]) -> frozenset[Address]:
    """The accounts themselves emit."""
    return frozenset(safes)


def _decoder(what: str, is_address: bool) -> Decoder:
    def decode_one(log: Log) -> Iterable[AnyEvent]:
        first = log.topics[1] if len(log.topics) > 1 else abi.word(log.data, 0)
        if is_address:
            detail: str = abi.to_address(first)
        elif what == "threshold_changed":
            detail = str(int.from_bytes(first, "big"))
        else:
            detail = "0x" + first.hex()
        return (CustodyChanged(log.ref, log.address, what, detail),)

    return decode_one


_DECODERS = {abi.topic(signature): _decoder(*change) for signature, change in _CHANGES.items()}


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """CustodyChanged for each change of a watched Safe. Raises MalformedLog."""
    return decode_with(_DECODERS, logs, None)


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Nothing: what a Safe holds is read token by token."""
    return ()

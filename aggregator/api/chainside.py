"""What tickets and links ask of a network, each read at one block: custody of a Safe, its nonce, recipients, ticket keys.

The reads go to the nodes, the judgement is pure; no database transaction is open meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.api.problems import Problem
from aggregator.api.services import Services
from chains import abi, custody
from chains.custody import Custody
from chains.networks.network import Network, OwnContracts
from chains.rpc import Rpc, reads
from chains.types import Address, BlockRef, Call, ChainId

TICKETS = 1  # key set of MarginModule


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """What a ticket rests on at one block."""

    custody: Custody
    pinned: bool


def network_of(services: Services, chain_id: int) -> tuple[Network, OwnContracts, Rpc]:
    """A network that this process serves and can read. Raises Problem `request-invalid` or `unavailable`."""
    network = services.networks.get(ChainId(chain_id))
    if network is None:
        raise Problem("request-invalid", f"body.chain_id = {chain_id} is not served here; served are {sorted(services.networks)}")
    if network.protocols.isthmus is None:
        raise Problem("request-invalid", f"network {chain_id} has no own contracts, so no prime accounts")
    rpc = services.rpcs.get(ChainId(chain_id))
    if rpc is None:
        raise Problem("unavailable", f"this process has no endpoint of network {chain_id}; set ISTHMUS_RPC to {chain_id}=https://...")
    return network, network.protocols.isthmus, rpc


async def custody_of(services: Services, chain_id: int, safe: Address) -> tuple[Custody, BlockRef]:
    """Custody of a Safe at the network's head."""
    network, _, rpc = network_of(services, chain_id)
    block = await reads.head(rpc)
    answers = await reads.multicall_at(rpc, network, block.hash, custody.reads(network, safe))
    return custody.judge(network, safe, answers), block


async def ticket_facts(
    services: Services, chain_id: int, safe: Address, recipient: bytes, block: BlockRef
) -> tuple[TicketFacts, int]:
    """What a ticket for `safe` rests on at `block`, and the Safe's nonce at the network's head. recipient: the pin to look for."""
    network, own, rpc = network_of(services, chain_id)
    mine = custody.reads(network, safe)
    pin = Call(own.rule_book, abi.selector("isPinned(address,bytes32)") + abi.padded(safe) + recipient)
    answers = await reads.multicall_at(rpc, network, block.hash, [*mine, pin])
    newest = await rpc.call("eth_call", [{"to": safe, "data": "0x" + abi.call_data("nonce()").hex()}, "latest"])
    found = TicketFacts(custody.judge(network, safe, answers[:-1]), abi.uint_at(answers[-1] or bytes(32), 0) == 1)
    return found, int(str(newest), 16)


async def ticket_keys(services: Services, chain_id: int, signers: Sequence[Address]) -> tuple[frozenset[Address], int]:
    """(which of the signers are ticket keys, how many must sign) at the network's head."""
    network, own, rpc = network_of(services, chain_id)
    need = Call(own.module, abi.call_data("threshold(uint8)", TICKETS))
    asked = [Call(own.module, abi.call_data("isKey(uint8,address)", TICKETS, signer)) for signer in signers]
    block = await reads.head(rpc)
    answers = await reads.multicall_at(rpc, network, block.hash, [need, *asked])
    found = [abi.uint_at(a or bytes(32), 0) for a in answers]
    return frozenset(s for s, known in zip(signers, found[1:], strict=True) if known == 1), found[0]

"""Hyperlane between the local networks: mailbox, 2-of-3 message-id multisig ISM, merkle tree hook, warp route for USDC.

C holds the collateral router (locks native USDC), A and B hold synthetic routers (each is the token itself). `deliver` is what the
validators and the relayer do, in one call and with the devnet keys: set-ups and tests use it, the running actors do it from blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak
from hexbytes import HexBytes
from web3 import Web3

from chains.devnet import roles
from chains.devnet.lib import ZERO, at, checksum, deploy, send

THRESHOLD: Final = 2
SCALE: Final = 1
DISPATCH: Final = keccak(b"Dispatch(address,uint32,bytes32,bytes)")
INSERTED: Final = keccak(b"InsertedIntoTree(bytes32,uint32)")


@dataclass(frozen=True)
class Hyperlane:
    """Addresses of one network's mailbox. Validators are in the order in which their signatures must come."""

    domain: int
    mailbox: str
    merkle_tree_hook: str
    ism: str
    validators: tuple[str, ...]
    threshold: int


@dataclass(frozen=True)
class Message:
    """One dispatched message with what its proof needs: id, bytes, place in the origin's tree."""

    origin: int
    body: bytes
    message_id: bytes
    index: int


def validators() -> tuple[str, ...]:
    """Roles of the validators in the order of their addresses: the order of the ISM."""
    return tuple(sorted(roles.VALIDATORS, key=lambda role: int(roles.address(role), 16)))


def install(w3: Web3, domain: int) -> Hyperlane:
    """Deploy mailbox, ISM and hooks, and start the mailbox with them."""
    mailbox = deploy(w3, "hyperlane/Mailbox", domain)
    makers = deploy(w3, "hyperlane/StaticMessageIdMultisigIsmFactory")
    signers = [checksum(roles.address(role)) for role in validators()]
    ism = makers.functions.deploy(signers, THRESHOLD).call()
    send(w3, makers.functions.deploy(signers, THRESHOLD))
    tree = deploy(w3, "hyperlane/MerkleTreeHook", mailbox.address)
    default = deploy(w3, "hyperlane/PausableHook")
    send(w3, mailbox.functions.initialize(w3.eth.accounts[0], ism, default.address, tree.address))
    return Hyperlane(domain, str(mailbox.address), str(tree.address), str(ism), tuple(map(str, signers)), THRESHOLD)


def collateral_router(w3: Web3, mailbox: str, usdc: str) -> str:
    """Deploy the router that locks native USDC."""
    router = deploy(w3, "hyperlane/HypERC20Collateral", checksum(usdc), SCALE, SCALE, checksum(mailbox))
    send(w3, router.functions.initialize(ZERO, ZERO, w3.eth.accounts[0]))
    return str(router.address)


def synthetic_router(w3: Web3, mailbox: str) -> str:
    """Deploy the router that mints and burns synthetic USDC; it is the token."""
    router = deploy(w3, "hyperlane/HypERC20", 6, SCALE, SCALE, checksum(mailbox))
    send(w3, router.functions.initialize(0, "Hyperlane USD Coin", "hypUSDC", ZERO, ZERO, w3.eth.accounts[0]))
    return str(router.address)


def enroll(w3: Web3, router: str, others: Mapping[int, str]) -> None:
    """Tell a router its peers: domain -> router address."""
    peers = [padded(address) for address in others.values()]
    send(w3, at(w3, router, "hyperlane/HypERC20").functions.enrollRemoteRouters(list(others), peers))


def padded(address: str) -> bytes:
    """An address as Hyperlane's bytes32."""
    return bytes(12) + bytes.fromhex(address[2:])


def transfer(w3: Web3, router: str, destination: int, recipient: str, atoms: int, role: str) -> Mapping[str, Any]:
    """A role sends USDC (approved to a collateral router, or its own synthetic) to `recipient` on `destination`."""
    route = at(w3, router, "hyperlane/HypERC20")
    return send(w3, route.functions.transferRemote(destination, padded(recipient), atoms), role)


def messages(hyperlane: Hyperlane, receipt: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages that one transaction dispatched."""
    found: dict[bytes, bytes] = {}
    places: dict[bytes, int] = {}
    for log in receipt["logs"]:
        topic, data = bytes(HexBytes(log["topics"][0])), bytes(HexBytes(log["data"]))
        if topic == DISPATCH and log["address"].lower() == hyperlane.mailbox.lower():
            body = data[64 : 64 + int.from_bytes(data[32:64], "big")]
            found[keccak(body)] = body
        elif topic == INSERTED and log["address"].lower() == hyperlane.merkle_tree_hook.lower():
            places[data[:32]] = int.from_bytes(data[32:64], "big")
    return tuple(Message(hyperlane.domain, body, name, places[name]) for name, body in found.items())


def digest(hyperlane: Hyperlane, root: bytes, index: int, message_id: bytes) -> bytes:
    """What a validator signs: the checkpoint (root at index) of the origin's tree, with the message's id."""
    place = keccak(hyperlane.domain.to_bytes(4, "big") + padded(hyperlane.merkle_tree_hook) + b"HYPERLANE")
    return bytes(keccak(place + root + index.to_bytes(4, "big") + message_id))


def metadata(origin: Hyperlane, root: bytes, index: int, message_id: bytes, signers: Iterable[str]) -> bytes:
    """Proof for the ISM, signed by the given validator roles; a valid one has at least THRESHOLD in address order."""
    text = encode_defunct(digest(origin, root, index, message_id))
    signatures = b"".join(bytes(Account.sign_message(text, roles.key(role)).signature) for role in signers)
    return padded(origin.merkle_tree_hook) + root + index.to_bytes(4, "big") + signatures


def deliver(source: Web3, origin: Hyperlane, target: Web3, destination: Hyperlane, receipt: Mapping[str, Any]) -> None:
    """Deliver every message of one transaction. The origin's tree must not have grown since."""
    tree = at(source, origin.merkle_tree_hook, "hyperlane/MerkleTreeHook")
    root = bytes(tree.functions.root().call())
    for message in messages(origin, receipt):
        proof = metadata(origin, root, message.index, message.message_id, validators()[:THRESHOLD])
        send(target, at(target, destination.mailbox, "hyperlane/Mailbox").functions.process(proof, message.body))

"""Chapters 1 and 2: lenders fund the lines, clients open accounts, supply, borrow and withdraw with the engine's tickets.

Every step is the client's own: signed by its owners, sent by its wallet, allowed by the rule book on chain or by a ticket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eth_abi.abi import encode

from aggregator.client import ApiRefused
from aggregator.local import story_mandate
from aggregator.local.story_cast import ClientCast
from aggregator.local.story_stage import Stage
from aggregator.local.story_tickets import borrow, withdraw
from aggregator.local.wallets import SafeWallet, Wallet
from aggregator.units import atoms_down
from chains import abi, protocols
from chains.actions import Approve, Supply
from chains.contracts import typed
from chains.devnet import roles
from chains.networks.network import Network
from chains.signer import LocalSigner
from chains.types import Address, Call, ChainId, address

MAX = 2**256 - 1
OWNERS, THRESHOLD = 3, 2
AAVE = "aave_v3"


def wallet(stage: Stage, chain_id: int, role: str) -> Wallet:
    """The wallet of a devnet role on one network, always the same object."""
    key = (chain_id, role)
    if key not in stage.wallets:
        stage.wallets[key] = Wallet(stage.rpcs[ChainId(chain_id)], stage.networks[ChainId(chain_id)], roles.key(role))
    return stage.wallets[key]


def atoms(network: Network, token: str, quantity: float) -> int:
    """Whole units to atoms, down."""
    return atoms_down(Decimal(str(quantity)), network.tokens[token].decimals)


def transfer(token: Address, to: Address, amount: int) -> Call:
    """A plain ERC-20 transfer."""
    return Call(token, abi.call_data("transfer(address,uint256)", to, amount), 0, "transfer")


async def fund_lines(stage: Stage) -> None:
    """Lenders pay into every network's credit line."""

    async def one(network: Network) -> None:
        assert network.protocols.isthmus is not None
        line, usdc = network.protocols.isthmus.credit_line, network.tokens["usdc"].address
        amount = atoms(network, "usdc", stage.cast.lenders_usdc)
        lender = wallet(stage, network.chain_id, roles.LENDERS[0])
        await lender.send(protocols.encode(network, Approve(usdc, line, amount)))
        await lender.send(Call(line, abi.call_data("deposit(uint256)", amount), 0, "deposit into the credit line"))

    await asyncio.gather(*(one(n) for n in stage.networks.values()))
    stage.say(f"lenders paid {stage.cast.lenders_usdc:,.0f} USDC into each of {len(stage.networks)} credit lines")


async def _create(stage: Stage, cast: ClientCast, network: Network, pins: list[bytes]) -> Address:
    """Bear one prime account through the factory; returns its address."""
    assert network.protocols.isthmus is not None
    owners = [roles.address(f"{cast.role}-owner-{i}") for i in range(OWNERS)]
    arguments = encode(["address[]", "uint256", "bytes32[]", "uint256"], [owners, THRESHOLD, pins, stage.cast.seed])
    call = Call(
        network.protocols.isthmus.factory, abi.selector("create(address[],uint256,bytes32[],uint256)") + arguments, 0, "create"
    )
    payer = wallet(stage, network.chain_id, f"{cast.role}-owner-0")
    receipt = await payer.send(call)
    topic = "0x" + abi.topic("AccountCreated(address,address[],uint256)").hex()
    born = next(log for log in receipt["logs"] if log["topics"][0] == topic)
    safe = address("0x" + born["topics"][1][-40:])
    signers = tuple(LocalSigner(roles.key(f"{cast.role}-owner-{i}")) for i in range(OWNERS))
    stage.safes[network.chain_id, cast.client] = SafeWallet(payer, safe, signers, THRESHOLD)
    return safe


async def open_client(stage: Stage, cast: ClientCast) -> None:
    """One Safe on every network, linked and under a mandate. In their first hour the Safes pin each other as bridge recipients."""
    networks = tuple(stage.networks.values())
    cold = typed.local_pin(address(roles.address(f"{cast.role}-owner-0")))
    safes = await asyncio.gather(*(_create(stage, cast, n, [cold]) for n in networks))
    born = {n.chain_id: safe for n, safe in zip(networks, safes, strict=True)}
    await asyncio.gather(*(_pin_sisters(stage, cast, n, born) for n in networks))
    await stage.api.open_client(cast.client, cast.title)
    for chain_id, safe in born.items():
        await _link(stage, cast.client, chain_id, safe)
    await story_mandate.sign(stage, cast)
    stage.say(f"{cast.title}: {len(born)} prime accounts born, custody intact, linked, mandate signed")


async def _pin_sisters(stage: Stage, cast: ClientCast, network: Network, born: Mapping[ChainId, Address]) -> None:
    """The owners name the account's own Safes on the other networks as recipients over the bridge."""
    assert network.protocols.isthmus is not None
    calls = [
        Call(
            network.protocols.isthmus.rule_book,
            abi.selector("requestPin(bytes32)") + typed.remote_pin(chain_id, safe),
            0,
            "pin a sister account",
        )
        for chain_id, safe in born.items()
        if chain_id != network.chain_id
    ]
    await stage.safes[network.chain_id, cast.client].execute(*calls)


async def _link(stage: Stage, client: str, chain_id: int, safe: Address) -> None:
    """Link the account, once the deployment follows the network far enough to read its custody."""

    async def probe() -> dict[str, Any] | None:
        try:
            return await stage.api.link_safe(client, chain_id, safe)
        except ApiRefused as refused:
            if refused.body.get("retryable"):
                return None
            raise

    await stage.until(f"the link of {safe} on {chain_id}", probe)


async def deposit(stage: Stage, cast: ClientCast) -> int:
    """Cash on its networks; ETH supplied to the lending venue through the Safe. Returns the block of the supply."""
    for chain_id, cash in cast.cash.items():
        network = stage.networks[ChainId(chain_id)]
        payer = wallet(stage, chain_id, f"{cast.role}-owner-0")
        usdc = network.tokens["usdc"].address
        await payer.send(transfer(usdc, stage.safes[chain_id, cast.client].safe, atoms(network, "usdc", cash)))
    network = stage.networks[ChainId(cast.venue_chain)]
    assert network.protocols.aave_v3 is not None
    weth, amount = network.tokens["weth"].address, atoms(network, "weth", cast.weth)
    safe = stage.safes[cast.venue_chain, cast.client]
    await wallet(stage, cast.venue_chain, f"{cast.role}-owner-0").send(transfer(weth, safe.safe, amount))
    receipt = await safe.execute(
        protocols.encode(network, Approve(weth, network.protocols.aave_v3.pool, MAX)),
        protocols.encode(network, Supply(AAVE, safe.safe, weth, amount)),
    )
    stage.say(
        f"{cast.title}: {cast.weth:g} WETH supplied on {network.name}, cash "
        + ", ".join(f"{usd:,.0f} USDC on {stage.networks[ChainId(c)].name}" for c, usd in cast.cash.items())
    )
    return int(receipt["blockNumber"], 16)


async def trade(stage: Stage, cast: ClientCast) -> None:
    """Supply; once that is final borrow against it with a trade ticket; once that is final take the cash out with another."""
    network = stage.networks[ChainId(cast.venue_chain)]
    await stage.final(network.chain_id, await deposit(stage, cast))
    amount = atoms(network, "usdc", cast.borrowed_usdc)
    await stage.final(network.chain_id, await borrow(stage, cast, network, amount))
    await withdraw(stage, cast, network, "usdc", amount, "borrowed cash")
    stage.say(f"{cast.title}: borrowed and took out {cast.borrowed_usdc:,.0f} USDC on {network.name}, with two tickets")

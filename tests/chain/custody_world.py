"""One prime account on local network A, with everything around it: the stage of the custody tests.

The node starts from the baked state and mines on demand, one second per block, so that times are exact; every test is undone by a
snapshot. A refusal is read from a call trace, because a revert alone does not tell which rule was broken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak
from web3 import Web3
from web3.types import RPCEndpoint

from chains.contracts import reasons, typed
from chains.devnet import anvil, bake, feeds, lib
from chains.devnet.layout import A
from chains.networks.network import Network, OwnContracts
from chains.types import ZERO_ADDRESS, Address, Call, address
from tests.chain.custody_calls import ETHER, MAX, OWNERS, PLANNERS, REMOTE, TICKETERS, USDC, call_data, signatures, supply_data, who

ATTACK = Path(__file__).parent / "attack"


@dataclass(frozen=True)
class World:
    """A node, the network's addresses and one account. `accounts` are the node's unlocked senders."""

    w3: Web3
    network: Network
    accounts: tuple[Address, ...]
    safe: Address = ZERO_ADDRESS

    @property
    def own(self) -> OwnContracts:
        assert self.network.protocols.isthmus
        return self.network.protocols.isthmus

    def token(self, name: str) -> Address:
        return self.network.tokens[name].address

    @property
    def usdc(self) -> Address:
        return self.token("usdc")

    @property
    def weth(self) -> Address:
        return self.token("weth")

    @property
    def pool(self) -> Address:
        assert self.network.protocols.aave_v3
        return self.network.protocols.aave_v3.pool

    @property
    def swap_router(self) -> Address:
        assert self.network.protocols.uniswap_v3
        return self.network.protocols.uniswap_v3.router

    @property
    def route(self) -> Address:
        assert self.network.protocols.hyperlane
        return self.network.protocols.hyperlane.routes[0].router

    @property
    def batch(self) -> Address:
        return self.network.protocols.safe.multi_send_call_only

    @property
    def stranger(self) -> Address:
        return self.accounts[9]

    @property
    def cold(self) -> Address:
        """The client's own address: a recipient since birth, here and on the other network."""
        return self.accounts[8]

    # ---- the node ----------------------------------------------------------------------------------------------------------

    def rpc(self, method: str, *params: Any) -> Any:
        return lib.rpc(self.w3, method, *params)

    def revert_data(self, call: Mapping[str, Any]) -> bytes | None:
        """What an eth_call that reverts gives back; None when it passes."""
        answer: Any = self.w3.provider.make_request(RPCEndpoint("eth_call"), [call, "latest"])
        return bytes.fromhex(str(answer["error"].get("data", "0x"))[2:]) if "error" in answer else None

    def now(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def warp(self, seconds: int) -> None:
        """Mine one block that is `seconds` later."""
        self.rpc("evm_setNextBlockTimestamp", self.now() + seconds)
        self.rpc("evm_mine")

    def read(self, to: Address, signature: str, *arguments: Any, returns: str = "uint256", sender: Address = ZERO_ADDRESS) -> Any:
        """First value of an eth_call."""
        raw = self.rpc("eth_call", {"from": sender, "to": to, "data": "0x" + call_data(signature, *arguments).hex()}, "latest")
        return decode([returns], bytes.fromhex(raw[2:]))[0]

    def send(self, to: Address, data: bytes, *, sender: Address = ZERO_ADDRESS, value: int = 0) -> Mapping[str, Any]:
        """Receipt of a transaction that must pass; the sender defaults to a stranger with gas."""
        origin = self.stranger if sender == ZERO_ADDRESS else sender
        fields = {"from": origin, "to": to, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(8_000_000)}
        receipt: Mapping[str, Any] = self.rpc("eth_sendTransactionSync", fields)
        if int(receipt["status"], 16) != 1:
            raise AssertionError(f"reverted: {self.reason(to, data, sender=origin, value=value)}")
        return receipt

    def reason(self, to: Address, data: bytes, *, sender: Address = ZERO_ADDRESS, value: int = 0) -> str:
        """The rule that the transaction would break, or 'PASSED'."""
        origin = self.stranger if sender == ZERO_ADDRESS else sender
        fields = {"from": origin, "to": to, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(8_000_000)}
        found = reasons.of_trace(self.rpc("debug_traceCall", fields, "latest", {"tracer": "callTracer"}))
        return found.name if found else "PASSED"

    def impersonate(self, origin: Address) -> Address:
        """Lets the node send as `origin`, with gas to pay."""
        self.rpc("anvil_impersonateAccount", origin)
        self.rpc("anvil_setBalance", origin, hex(10**20))
        return origin

    def lock(self, name: str) -> Address:
        """The address of a timelock, as a sender: what its schedule would do after the delay."""
        return self.impersonate(self.own.owner_lock if name == "owner" else self.own.planner_lock)

    @property
    def guardian(self) -> Address:
        return self.impersonate(self.own.guardian)

    def deploy(self, artifact: str, *arguments: Any) -> Address:
        """Deploys an attack contract."""
        made = json.loads((ATTACK / f"{artifact}.json").read_text())
        fields = {"from": self.accounts[0], "data": made["bytecode"], "gas": hex(8_000_000)}
        return address(self.rpc("eth_sendTransactionSync", fields)["contractAddress"])

    def mint(self, token: str, owner: Address, atoms: int) -> None:
        """Gives tokens: USDC from its open mint, WETH by wrapping."""
        if token == "usdc":
            self.send(self.usdc, call_data("mint(address,uint256)", owner, atoms))
            return
        rich = self.accounts[7]
        self.rpc("anvil_setBalance", rich, hex(atoms + 10**20))
        self.send(self.weth, call_data("deposit()"), sender=rich, value=atoms)
        self.send(self.weth, call_data("transfer(address,uint256)", owner, atoms), sender=rich)

    def balance(self, token: Address, owner: Address) -> int:
        return int(self.read(token, "balanceOf(address)", owner))

    # ---- the account -------------------------------------------------------------------------------------------------------

    def nonce(self, safe: Address = ZERO_ADDRESS) -> int:
        return int(self.read(self.safe if safe == ZERO_ADDRESS else safe, "nonce()"))

    def exec_data(self, to: Address, data: bytes = b"", *, value: int = 0, operation: int = 0,
                  safe: Address = ZERO_ADDRESS, signers: Iterable[str] = OWNERS[:2]) -> bytes:
        """Calldata of a Safe transaction signed by owners."""
        account = self.safe if safe == ZERO_ADDRESS else safe
        found = typed.safe_tx_hash(self.network.chain_id, account, to, value, data, operation, self.nonce(account))
        return typed.encode_exec_transaction(to, value, data, operation, signatures(found, signers))

    def owner(self, to: Address, data: bytes = b"", **options: Any) -> Mapping[str, Any]:
        """Receipt of an owners' transaction that must pass."""
        return self.send(options.get("safe", self.safe), self.exec_data(to, data, **options))

    def owner_reason(self, to: Address, data: bytes = b"", **options: Any) -> str:
        """Why an owners' transaction is refused, or 'PASSED'."""
        return self.reason(options.get("safe", self.safe), self.exec_data(to, data, **options))

    def birth(self, owners: Iterable[Address], threshold: int, pins: Iterable[bytes], salt: int) -> Address:
        """A new prime account."""
        arguments = (list(owners), threshold, list(pins), salt)
        signature = "{}(address[],uint256,bytes32[],uint256)"
        born = self.read(self.own.factory, signature.format("addressOf"), *arguments, returns="address")
        self.send(self.own.factory, call_data(signature.format("create"), *arguments))
        return address(born)

    # ---- terms -------------------------------------------------------------------------------------------------------------

    def sign(self, kind: typed.Kind, terms: typed.Terms, names: Iterable[str], *, chain_id: int = 0,
             module: Address = ZERO_ADDRESS) -> dict[Address, bytes]:
        """Quorum signatures over terms."""
        where = self.own.module if module == ZERO_ADDRESS else module
        return signatures(typed.digest(kind, terms, chain_id or self.network.chain_id, where), names)

    def withdrawal(self, **changes: Any) -> typed.WithdrawalTerms:
        """A ticket to pay 1,000 USDC to the client's own address, with the next Safe transaction."""
        safe = changes.get("safe", self.safe)
        terms = typed.WithdrawalTerms(self.own.deployment, safe, self.usdc, 1000 * USDC, self.cold, self.nonce(safe),
                                      self.now() + 300, self.now() - 5, "0x" + "ab" * 32)
        return replace(terms, **changes)

    def withdraw_data(self, terms: typed.WithdrawalTerms, names: Iterable[str] = TICKETERS[:2], **domain: Any) -> bytes:
        return typed.encode_withdraw(terms, self.sign("Withdrawal", terms, names, **domain))

    def trade(self, to: Address, data: bytes, **changes: Any) -> typed.TradeTerms:
        """A ticket for one call."""
        terms = typed.TradeTerms(self.own.deployment, self.safe, to, 0, data, self.nonce(), self.now() + 300, self.now() - 5,
                                 "0x" + "cd" * 32)
        return replace(terms, **changes)

    def trade_data(self, terms: typed.TradeTerms, names: Iterable[str] = TICKETERS[:2], **domain: Any) -> bytes:
        return typed.encode_trade(terms, self.sign("Trade", terms, names, **domain))

    def action(self, *calls: Call, **changes: Any) -> typed.ActionTerms:
        """A planner action for a need of its own: a new id, and the sequence that the module wants."""
        action_id = "0x" + keccak(repr((calls, changes, self.now())).encode()).hex()
        need = changes.get("need_key", action_id)
        safe = changes.get("safe", self.safe)
        sequence = self.read(self.own.module, "next(address,bytes32)", safe, bytes.fromhex(need[2:]))
        terms = typed.ActionTerms(self.own.deployment, safe, action_id, need, sequence, 0, calls, self.now() + 300, self.now() - 5)
        return replace(terms, **changes)

    def execute_data(self, terms: typed.ActionTerms, names: Iterable[str] = PLANNERS[:2], **domain: Any) -> bytes:
        return typed.encode_execute(terms, self.sign("Action", terms, names, **domain))

    def execute(self, *calls: Call, names: Iterable[str] = PLANNERS[:2], **changes: Any) -> Mapping[str, Any]:
        """Receipt of a planner action that must pass; a stranger submits it."""
        return self.send(self.own.module, self.execute_data(self.action(*calls, **changes), names))

    def execute_reason(self, *calls: Call, names: Iterable[str] = PLANNERS[:2], domain: Mapping[str, Any] | None = None,
                       **changes: Any) -> str:
        return self.reason(self.own.module, self.execute_data(self.action(*calls, **changes), names, **(domain or {})))


def _build(w3: Web3, network: Network) -> World:
    world = World(w3, network, tuple(address(a) for a in w3.eth.accounts))
    for name, answer in (("eth_usd", 2000), ("usdc_usd", 1)):
        feed = network.feeds[name]
        feeds.submit(w3, feeds.Feed(feed.proxy, feed.aggregator or ""), answer * 10**8)
    pins = [typed.local_pin(world.cold), typed.remote_pin(REMOTE, world.cold)]
    world = replace(world, safe=world.birth([who(name) for name in OWNERS], 2, pins, 1))
    world.mint("usdc", world.safe, 20_000_000 * USDC)
    world.mint("weth", world.safe, 5_000 * ETHER)
    world.rpc("anvil_setBalance", world.safe, hex(10 * ETHER))
    lender = who("lender-0")
    lend = 8_000_000 * USDC
    for to, data in ((world.usdc, call_data("approve(address,uint256)", world.own.credit_line, MAX)),
                     (world.own.credit_line, call_data("deposit(uint256)", lend))):
        world.send(to, data, sender=world.impersonate(lender))
    approvals = [Call(world.token(token), call_data("approve(address,uint256)", spender, MAX))
                 for token in ("usdc", "weth") for spender in (world.pool, world.swap_router, world.own.credit_line)]
    supply = Call(world.pool, supply_data(world, "weth", 1_000 * ETHER))
    world.owner(world.batch, typed.encode_multi_send([*approvals, supply]), operation=1)
    return world


@pytest.fixture(scope="session")
def stage() -> Iterator[World]:
    """The world as built; tests use `world`, which is undone after each."""
    states = bake.states()
    network = Network.model_validate(bake.tables()[A.chain_id])
    with anvil.running(A, state=states[A.chain_id], mine=False) as url:
        w3 = lib.connect(url, A.chain_id)
        lib.rpc(w3, "anvil_setBlockTimestampInterval", 1)
        yield _build(w3, network)


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage; whatever a test does to it is undone."""
    mark = stage.rpc("evm_snapshot")
    yield stage
    assert stage.rpc("evm_revert", mark)

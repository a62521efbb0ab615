"""Own contracts on a local network: deployed in one fixed order, configured from the rule table, handed to timelocks.

Keys are devnet roles: planner-0..2 and ticketer-0..2 (two of three sign), guardian, governor (proposes to both timelocks; anybody
executes). Limits are generous, because the demo moves whole portfolios in minutes. One deployment id for all local networks: the
chain id in the EIP-712 domain tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak
from web3 import Web3
from web3.contract import Contract

from chains.contracts import artifacts
from chains.contracts.rules import Table, table
from chains.devnet import network_table, roles, safe
from chains.devnet.layout import USDC_UNIT, WETH_UNIT
from chains.devnet.lib import GAS, GAS_PRICE, ZERO, DeployFailed, checksum, rpc
from chains.devnet.parts import Parts
from chains.networks.network import Network

DEPLOYMENT: Final = "0x" + bytes(keccak(b"isthmus-devnet")).hex()
PLANNER_KEYS: Final = ("planner-0", "planner-1", "planner-2")
TICKETER_KEYS: Final = ("ticketer-0", "ticketer-1", "ticketer-2")
GUARDIAN: Final = "guardian"
GOVERNOR: Final = "governor"
QUORUM: Final = 2
PLANNERS: Final = 0
TICKETS: Final = 1
DAY_S: Final = 86_400
OWNER_DELAY_S: Final = 2 * DAY_S
PLANNER_DELAY_S: Final = 9 * DAY_S
CAP_USDC: Final = 5_000_000
CAP_WETH: Final = 2_000
CAP_ALL: Final = 4  # times the cap of one account
LINE_PER_ACCOUNT: Final = 5_000_000
LINE_TOTAL: Final = 15_000_000
RAY_PERCENT: Final = 10**25
# Base, slope up to the kink, slope beyond it (a year), the kink itself; then the penalty fund's share of interest, basis points.
LINE_RATES: Final = (2 * RAY_PERCENT, 6 * RAY_PERCENT, 60 * RAY_PERCENT, 80 * RAY_PERCENT, 1_000)


def contract(w3: Web3, name: str, address: str) -> Contract:
    """The own contract `name` at `address`."""
    return w3.eth.contract(address=checksum(address), abi=list(artifacts.load(name).abi))


def deploy(w3: Web3, parts: Parts) -> dict[str, str]:
    """Deploy and configure everything on one network; returns the [protocols.isthmus] table of its file."""
    deployer = str(w3.eth.accounts[0])
    guardian = roles.address(GUARDIAN)
    locks = [_create(w3, "TimelockController", delay, [roles.address(GOVERNOR)], [ZERO], ZERO)
             for delay in (OWNER_DELAY_S, PLANNER_DELAY_S)]
    book = _create(w3, "RuleBook", deployer, deployer, guardian)
    module = _create(w3, "MarginModule", book, bytes.fromhex(DEPLOYMENT[2:]))
    handler, installer = _create(w3, "PrimeHandler"), _create(w3, "Installer")
    fence = _create(w3, "ModuleFence", module) if safe.VERSION.startswith("1.5") else ZERO
    guard = _create(w3, "MarginGuard", book, module, checksum(parts.safe.multi_send_call_only), handler, fence)
    shared = (checksum(parts.safe.singleton), checksum(parts.safe.proxy_factory))
    factory = _create(w3, "AccountFactory", (book, *shared, installer, module, guard, handler, fence))
    line = _create(w3, "CreditLine", checksum(parts.usdc), module, book)
    own = {"deployment": DEPLOYMENT, "factory": factory, "rule_book": book, "guard": guard, "module": module, "handler": handler,
           "installer": installer, "credit_line": line, "owner_lock": locks[0], "planner_lock": locks[1], "guardian": guardian}
    network = Network.model_validate(network_table.table(parts.network, parts, own))
    rule_book, margin_module = contract(w3, "RuleBook", book), contract(w3, "MarginModule", module)
    _call(w3, rule_book, "setFactory", factory)
    _rules(w3, rule_book, table(network))
    _limits(w3, rule_book, margin_module, contract(w3, "CreditLine", line), network)
    for role, names in ((PLANNERS, PLANNER_KEYS), (TICKETS, TICKETER_KEYS)):
        _call(w3, margin_module, "setKeys", role, [roles.address(name) for name in names], [], QUORUM)
    _call(w3, rule_book, "setOwnerLock", locks[0])
    _call(w3, rule_book, "setPlannerLock", locks[1])
    return own


def _rules(w3: Web3, book: Contract, wanted: Table) -> None:
    for set_, members in wanted.members.items():
        for member in sorted(members):
            _call(w3, book, "setMember", set_, member, True)
    for feed in wanted.feeds:
        _call(w3, book, "setFeed", checksum(feed.token), checksum(feed.proxy), feed.max_age_s)
    for rule in wanted.rules:
        head = (int(rule.callers), rule.words, rule.token_word, rule.amount_word, rule.max_value)
        checks = [(int(check.kind), check.word, check.arg) for check in rule.checks]
        _call(w3, book, "setRule", checksum(rule.target), rule.selector, head, checks)


def _caps(network: Network) -> dict[str, int]:
    """Cap of one account a day, by token, by warp route, and for the native coin (address zero)."""
    found = {token.address: (CAP_WETH * WETH_UNIT if token.asset == network.native.asset else CAP_USDC * USDC_UNIT)
             for token in network.tokens.values()}
    for route in network.protocols.hyperlane.routes if network.protocols.hyperlane else ():
        found[route.router] = CAP_USDC * USDC_UNIT
    return {**{str(where): cap for where, cap in found.items()}, ZERO: CAP_WETH * WETH_UNIT}


def _limits(w3: Web3, book: Contract, module: Contract, line: Contract, network: Network) -> None:
    for where, cap in _caps(network).items():
        for role in (PLANNERS, TICKETS):
            _call(w3, module, "setCap", role, checksum(where), cap, CAP_ALL * cap)
    for token in network.tokens.values():
        _call(w3, book, "setTurnoverCap", checksum(token.address), _caps(network)[token.address])
    _call(w3, module, "setLine", line.address)
    _call(w3, line, "setLimit", ZERO, LINE_PER_ACCOUNT * USDC_UNIT)
    _call(w3, line, "setTotalLimit", LINE_TOTAL * USDC_UNIT)
    _call(w3, line, "setRates", LINE_RATES)


def _create(w3: Web3, name: str, *arguments: Any) -> str:
    artifact = artifacts.load(name)
    factory = w3.eth.contract(abi=list(artifact.abi), bytecode=artifact.bytecode)
    receipt = _sent(w3, {"data": factory.constructor(*arguments).data_in_transaction}, f"deployment of {name}")
    return checksum(receipt["contractAddress"])


def _call(w3: Web3, target: Contract, function: str, *arguments: Any) -> None:
    data = target.encode_abi(function, args=list(arguments))
    _sent(w3, {"to": str(target.address), "data": data}, f"{function}{arguments}")


def _sent(w3: Web3, fields: dict[str, Any], what: str) -> Any:
    """Sends from the unlocked deployer and refuses a reverted transaction."""
    sender: Sequence[str] = w3.eth.accounts
    transaction = {"from": sender[0], "gas": hex(GAS), "gasPrice": hex(GAS_PRICE), **fields}
    receipt = rpc(w3, "eth_sendTransactionSync", transaction)
    if int(receipt["status"], 16) != 1:
        raise DeployFailed(f"{what} reverted in transaction {receipt['transactionHash']}")
    return receipt

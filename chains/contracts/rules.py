"""What a prime account may do on one network, generated from the network's file: rules, sets and feeds of the RuleBook.

Pure. Everything absent is refused. The owners alone trade, supply and repay; what can raise risk (borrow, taking collateral out
of a venue, e-mode, collateral switch) or leaves for another network needs a ticket, because the book cannot see whether there is
debt. The planner's rules hold no transfer: every recipient is the account itself or one it pinned. A warp route's token is no
argument of its call, so the route is metered under its own address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Final

from eth_hash.auto import keccak

from chains import abi
from chains.networks.network import Network
from chains.types import Address

NONE: Final = 0xFF
SWAP_TOLERANCE_BPS: Final = 200
ROUTE_FEE_WEI: Final = 10**17
VARIABLE_RATE: Final = 2


class Callers(IntFlag):
    """Bits of Callers.sol."""

    NOBODY = 0
    OWNER = 1
    TICKET = 2
    PLANNER = 4
    METERED = 8
    CALM = 16
    SINK = 32
    UNCAPPED = 64


class Kind(IntEnum):
    """Kinds of checks, in the order of RuleBook.Kind."""

    SELF = 0
    EQUAL = 1
    IN_SET = 2
    PINNED = 3
    AT_MOST = 4
    AT_LEAST = 5
    FAIR_SWAP = 6


class NetworkIncomplete(ValueError):
    """The network file names no own contracts, so there is nothing to rule."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an argument word; `arg` is 32 bytes and means what its kind says."""

    kind: Kind
    word: int
    arg: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Rule:
    """One listed call. Word numbers count the 32-byte arguments from 0; NONE as token word: the target is the token."""

    target: Address
    signature: str
    callers: Callers
    words: int
    checks: tuple[Check, ...] = ()
    token_word: int = NONE
    amount_word: int = NONE
    max_value: int = 0

    @property
    def selector(self) -> bytes:
        return abi.selector(self.signature)


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """Which aggregator prices a token, and from what age (seconds) its answer no longer counts."""

    token: Address
    proxy: Address
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a RuleBook holds for one network."""

    rules: tuple[Rule, ...]
    members: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    feeds: tuple[PriceFeed, ...] = ()


def set_id(name: str) -> bytes:
    """The book's name of a set."""
    return bytes(keccak(f"isthmus.{name}".encode()))


SPENDERS: Final = set_id("spenders")
RESERVES: Final = set_id("reserves")
TOKENS: Final = set_id("tokens")
FEES: Final = set_id("fees")


def word(value: int | str) -> bytes:
    """A number or an address as an argument word."""
    return abi.uint(value if isinstance(value, int) else int(value, 16))


def fair_swap(token_in: int, token_out: int, amount_in: int, min_out: int, tolerance_bps: int) -> Check:
    """A swap that promises itself the feeds' value less the tolerance; the first four are word numbers."""
    packed = token_in | token_out << 8 | amount_in << 16 | min_out << 24 | tolerance_bps << 32
    return Check(Kind.FAIR_SWAP, 0, word(packed))


def _pinned(recipient: int, domain: int) -> Check:
    return Check(Kind.PINNED, recipient, word(domain + 1))


def domains(route: Address) -> bytes:
    """Set of the domains that one warp route may send to."""
    return set_id(f"domains.{route}")


_ANY: Final = Callers.OWNER | Callers.PLANNER
_CALM_SINK: Final = _ANY | Callers.CALM | Callers.SINK | Callers.UNCAPPED


def rules(network: Network) -> tuple[Rule, ...]:
    """The rules of one network. Raises NetworkIncomplete without [protocols.isthmus]."""
    own = network.protocols.isthmus
    if own is None:
        raise NetworkIncomplete(f"network {network.chain_id}: [protocols.isthmus] is missing; deploy the own contracts first")
    spender = Check(Kind.IN_SET, 0, SPENDERS)
    found = [Rule(token.address, "approve(address,uint256)", _ANY | Callers.CALM, 2, (spender,))
             for token in network.tokens.values()]
    found.append(Rule(own.credit_line, "repay(address,uint256)", _CALM_SINK, 2, (Check(Kind.SELF, 0),), amount_word=1))
    if network.protocols.aave_v3:
        found += _aave(network.protocols.aave_v3.pool)
    if network.protocols.uniswap_v3:
        found.append(_swap(network.protocols.uniswap_v3.router))
    if network.protocols.hyperlane:
        found += [_route(route.router) for route in network.protocols.hyperlane.routes]
    return tuple(found)


def _aave(pool: Address) -> tuple[Rule, ...]:
    reserve = Check(Kind.IN_SET, 0, RESERVES)
    variable = Check(Kind.EQUAL, 2, word(VARIABLE_RATE))
    ticket = Callers.TICKET
    return (
        Rule(pool, "supply(address,uint256,address,uint16)", _CALM_SINK, 4, (reserve, Check(Kind.SELF, 2)), 0, 1),
        Rule(pool, "repay(address,uint256,uint256,address)", _CALM_SINK, 4, (reserve, variable, Check(Kind.SELF, 3)), 0, 1),
        Rule(pool, "withdraw(address,uint256,address)", ticket | Callers.PLANNER, 3, (reserve, Check(Kind.SELF, 2))),
        Rule(pool, "borrow(address,uint256,uint256,uint16,address)", ticket, 5, (reserve, variable, Check(Kind.SELF, 4))),
        Rule(pool, "setUserEMode(uint8)", ticket, 1),
        Rule(pool, "setUserUseReserveAsCollateral(address,bool)", ticket, 2, (reserve,)),
    )


def _swap(router: Address) -> Rule:
    signature = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
    checks = (Check(Kind.IN_SET, 0, TOKENS), Check(Kind.IN_SET, 1, TOKENS), Check(Kind.IN_SET, 2, FEES), Check(Kind.SELF, 3),
              fair_swap(0, 1, 5, 6, SWAP_TOLERANCE_BPS))
    return Rule(router, signature, _ANY | Callers.METERED, 8, checks, 0, 5)


def _route(router: Address) -> Rule:
    checks = (Check(Kind.IN_SET, 0, domains(router)), _pinned(1, 0))
    callers = Callers.TICKET | Callers.PLANNER
    return Rule(router, "transferRemote(uint32,bytes32,uint256)", callers, 3, checks, amount_word=2, max_value=ROUTE_FEE_WEI)


def members(network: Network) -> dict[bytes, frozenset[bytes]]:
    """The sets that the rules read. Raises NetworkIncomplete without [protocols.isthmus]."""
    parts = network.protocols
    if parts.isthmus is None:
        raise NetworkIncomplete(f"network {network.chain_id}: [protocols.isthmus] is missing; deploy the own contracts first")
    spenders = [parts.isthmus.credit_line]
    found: dict[bytes, frozenset[bytes]] = {}
    if parts.aave_v3:
        spenders.append(parts.aave_v3.pool)
        found[RESERVES] = frozenset(word(network.tokens[reserve.token].address) for reserve in parts.aave_v3.reserves)
    if parts.uniswap_v3:
        spenders.append(parts.uniswap_v3.router)
        traded = {name for pool in parts.uniswap_v3.pools for name in (pool.token0, pool.token1)}
        found[TOKENS] = frozenset(word(network.tokens[name].address) for name in traded)
        found[FEES] = frozenset(word(pool.fee) for pool in parts.uniswap_v3.pools)
    for route in parts.hyperlane.routes if parts.hyperlane else ():
        if route.kind == "collateral":
            spenders.append(route.router)
        found[domains(route.router)] = frozenset(word(destination) for destination in route.destinations)
    found[SPENDERS] = frozenset(word(spender) for spender in spenders)
    return found


def feeds(network: Network) -> tuple[PriceFeed, ...]:
    """One feed per token; an answer counts for one and a half heartbeats."""
    return tuple(PriceFeed(token.address, network.feeds[token.feed].proxy, network.feeds[token.feed].heartbeat_ms * 3 // 2000)
                 for token in network.tokens.values())


def table(network: Network) -> Table:
    """Everything the RuleBook of this network should hold."""
    return Table(rules(network), members(network), feeds(network))


# ---- reading it back --------------------------------------------------------------------------------------------------------

_RULE_WORDS: Final = 5  # callers, words, token word, amount word, native coin
_CHECK_WORDS: Final = 3  # kind, word, argument


def rule_query(rule: Rule) -> bytes:
    """Calldata for RuleBook.ruleOf."""
    return abi.selector("ruleOf(address,bytes4)") + abi.padded(rule.target) + rule.selector.ljust(abi.WORD, b"\0")


def rule_answer(rule: Rule, answer: bytes) -> Rule:
    """The rule that stands on chain for the same target and selector; without callers when there is none or it was struck."""
    callers, words, token_word, amount_word, max_value = (abi.uint_at(answer, i) for i in range(_RULE_WORDS))
    count = abi.offset_at(answer, _RULE_WORDS)
    list_ = answer[count + abi.WORD :]
    checks = tuple(
        Check(Kind(abi.uint_at(list_, at)), abi.uint_at(list_, at + 1), abi.word(list_, at + 2))
        for at in range(0, _CHECK_WORDS * abi.uint_at(answer[count:], 0), _CHECK_WORDS)
    )
    return Rule(rule.target, rule.signature, Callers(callers), words, checks, token_word, amount_word, max_value)


def member_query(set_: bytes, member: bytes) -> bytes:
    """Calldata for RuleBook.inSet; the answer is a bool word."""
    return abi.selector("inSet(bytes32,bytes32)") + set_ + member


def feed_query(feed: PriceFeed) -> bytes:
    """Calldata for RuleBook.feeds."""
    return abi.call_data("feeds(address)", feed.token)


def feed_answer(feed: PriceFeed, answer: bytes) -> PriceFeed:
    """The feed that stands on chain for the same token."""
    return PriceFeed(feed.token, abi.address_at(answer, 0), abi.uint_at(answer, 1))


def queries(wanted: Table) -> tuple[tuple[str, bytes], ...]:
    """(what it asks, calldata) of every read that compares a table with the book, in the order that `differences` wants."""
    found = [(f"rule {rule.signature} of {rule.target}", rule_query(rule)) for rule in wanted.rules]
    for set_, words in wanted.members.items():
        found += [(f"member 0x{member.hex()} of set 0x{set_.hex()}", member_query(set_, member)) for member in sorted(words)]
    found += [(f"feed of {feed.token}", feed_query(feed)) for feed in wanted.feeds]
    return tuple(found)


def differences(wanted: Table, answers: Iterable[bytes]) -> tuple[str, ...]:
    """What the book holds otherwise than the table says; `answers` come in the order of `queries`."""
    asked, found = queries(wanted), list(answers)
    wrong = []
    for index, ((what, _), answer) in enumerate(zip(asked, found, strict=True)):
        if index < len(wanted.rules):
            right = rule_answer(wanted.rules[index], answer) == wanted.rules[index]
        elif index < len(asked) - len(wanted.feeds):
            right = int.from_bytes(answer, "big") == 1
        else:
            feed = wanted.feeds[index - len(asked) + len(wanted.feeds)]
            right = feed_answer(feed, answer) == feed
        if not right:
            wrong.append(what)
    return tuple(wrong)

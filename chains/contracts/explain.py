"""Why the RuleBook would refuse a call, by the name of its error, before anybody signs. A readable twin of RuleBook.check.

Pure: recipients and prices come in as arguments. Tests hold it against the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eth_hash.auto import keccak

from chains.contracts.rules import NONE, Callers, Check, Kind, Rule, Table, word
from chains.types import Address, Call, address

_WHO: Final = Callers.OWNER | Callers.TICKET | Callers.PLANNER
_BPS: Final = 10_000
_LIMIT: Final = 2**128


@dataclass(frozen=True, slots=True)
class Price:
    """A feed's answer. `scale` is the decimals of the token plus those of the answer."""

    answer: int
    scale: int


@dataclass(frozen=True, slots=True)
class Account:
    """What the checks know of an account: its recipients that count now (typed.local_pin, typed.remote_pin), fresh prices."""

    safe: Address
    pins: frozenset[bytes] = frozenset()
    prices: Mapping[Address, Price] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Movement:
    """What an admitted call moves: token (None: nothing is metered), atoms, and the bits of its rule."""

    token: Address | None
    atoms: int
    callers: Callers


class Refused(Exception):
    """The book refuses the call. `name` is the contract's error, the message adds what was wrong."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def explain(table: Table, caller: Callers, account: Account, call: Call) -> str | None:
    """Name of the error with which the book refuses the call, or None. `caller` is one of OWNER, TICKET, PLANNER."""
    try:
        check(table, caller, account, call)
    except Refused as refusal:
        return refusal.name
    return None


def check(table: Table, caller: Callers, account: Account, call: Call) -> Movement:
    """What the call would move. Raises Refused naming the broken rule and the argument."""
    rule = _rule(table, call)
    if rule is None or not rule.callers & _WHO or call.to == account.safe:
        raise Refused("NotListed", f"{call.to} may not be called with 0x{call.data[:4].hex()}")
    if not rule.callers & caller:
        raise Refused("WrongCaller", f"{rule.signature} is not for {caller.name}; it takes {(rule.callers & _WHO)!r}")
    if len(call.data) != 4 + 32 * rule.words:
        raise Refused("WrongLength", f"{rule.signature} has {rule.words} words, the calldata {len(call.data)} bytes")
    if call.value > rule.max_value:
        raise Refused("TooMuchValue", f"{rule.signature} takes at most {rule.max_value} wei")
    for item in rule.checks:
        if not _holds(table, account, call.data, item):
            raise Refused("BadArgument", f"{rule.signature}: argument {item.word} breaks {item.kind.name}")
    if rule.amount_word == NONE:
        return Movement(None, 0, rule.callers)
    token = call.to if rule.token_word == NONE else _address(call.data, rule.token_word)
    return Movement(token, _number(call.data, rule.amount_word), rule.callers)


def _rule(table: Table, call: Call) -> Rule | None:
    if len(call.data) < 4:
        return None
    return next((r for r in table.rules if r.target == call.to and r.selector == call.data[:4]), None)


def _word(data: bytes, at: int) -> bytes:
    return data[4 + 32 * at : 36 + 32 * at]


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(_word(data, at), "big")


def _address(data: bytes, at: int) -> Address:
    return address("0x" + _word(data, at)[12:].hex())


def _holds(table: Table, account: Account, data: bytes, item: Check) -> bool:
    if item.kind is Kind.FAIR_SWAP:
        return _fair(account, data, int.from_bytes(item.arg, "big"))
    found = _word(data, item.word)
    if item.kind is Kind.SELF:
        return found == word(account.safe)
    if item.kind is Kind.EQUAL:
        return found == item.arg
    if item.kind is Kind.IN_SET:
        return found in table.members.get(item.arg, frozenset())
    if item.kind is Kind.AT_MOST:
        return found <= item.arg
    if item.kind is Kind.AT_LEAST:
        return found >= item.arg
    if not any(item.arg):
        return found in account.pins
    return bytes(keccak(_word(data, int.from_bytes(item.arg, "big") - 1) + found)) in account.pins


def _fair(account: Account, data: bytes, packed: int) -> bool:
    token_in, token_out, amount_in, min_out = ((packed >> 8 * i) & 0xFF for i in range(4))
    sold, bought = _number(data, amount_in), _number(data, min_out)
    if sold >= _LIMIT or bought >= _LIMIT:
        return False
    paid = -(-sold * _rate(account, _address(data, token_in)) // _scale(account, _address(data, token_in)))
    got = bought * _rate(account, _address(data, token_out)) // _scale(account, _address(data, token_out))
    return got * _BPS >= paid * (_BPS - (packed >> 32 & 0xFFFF))


def _price(account: Account, token: Address) -> Price:
    price = account.prices.get(token)
    if price is None or price.answer <= 0:
        raise Refused("StalePrice", f"no fresh price of {token}")
    return price


def _rate(account: Account, token: Address) -> int:
    return _price(account, token).answer * 10**18


def _scale(account: Account, token: Address) -> int:
    return int(10 ** _price(account, token).scale)

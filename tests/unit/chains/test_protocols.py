"""Protocols: every action encoded as its contract reads it, every event refused when it does not fit, unknown ones ignored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar, get_args

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chains import abi, protocols
from chains.actions import AnyAction, Approve, Borrow, Bridge, Repay, RepayLine, Supply, Swap, Withdraw
from chains.errors import MalformedLog
from chains.events import ActionDone, CustodyChanged, PricePublished, Swapped, TicketUsed
from chains.networks.network import FOLDER, load
from chains.protocols import chainlink, isthmus, safe, uniswap_v3
from chains.types import Address, EventRef, Hash, Log

OWN = load(FOLDER / "71001.toml")
SAFE, OTHER = Address("0x" + "5a" * 20), Address("0x" + "0f" * 20)
REF = EventRef(OWN.chain_id, 5, Hash("0x" + "aa" * 32), 3, Hash("0x" + "bb" * 32))


T = TypeVar("T")


def there(part: T | None) -> T:
    assert part is not None
    return part


AAVE, UNISWAP = there(OWN.protocols.aave_v3), there(OWN.protocols.uniswap_v3)
HYPERLANE, ISTHMUS = there(OWN.protocols.hyperlane), there(OWN.protocols.isthmus)
USDC, WETH = OWN.tokens["usdc"].address, OWN.tokens["weth"].address
ROUTE = HYPERLANE.routes[0].router

ENCODED: list[tuple[AnyAction, Address, int, str, list[str], list[Any]]] = [
    (Approve(USDC, OTHER, 5), USDC, 0, "approve(address,uint256)", ["address", "uint256"], [OTHER, 5]),
    (Supply("aave_v3", SAFE, USDC, 5), AAVE.pool, 0, "supply(address,uint256,address,uint16)",
     ["address", "uint256", "address", "uint16"], [USDC, 5, SAFE, 0]),
    (Withdraw("aave_v3", SAFE, USDC, 5), AAVE.pool, 0, "withdraw(address,uint256,address)",
     ["address", "uint256", "address"], [USDC, 5, SAFE]),
    (Borrow("aave_v3", SAFE, USDC, 5), AAVE.pool, 0, "borrow(address,uint256,uint256,uint16,address)",
     ["address", "uint256", "uint256", "uint16", "address"], [USDC, 5, 2, 0, SAFE]),
    (Repay("aave_v3", SAFE, USDC, 5), AAVE.pool, 0, "repay(address,uint256,uint256,address)",
     ["address", "uint256", "uint256", "address"], [USDC, 5, 2, SAFE]),
    (Swap("uniswap_v3", SAFE, WETH, USDC, 3000, 5, 4), UNISWAP.router, 0,
     "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
     ["(address,address,uint24,address,uint256,uint256,uint256,uint160)"], [(WETH, USDC, 3000, SAFE, 2**256 - 1, 5, 4, 0)]),
    (Bridge("hyperlane", SAFE, ROUTE, 71003, OTHER, 5, 9), ROUTE, 9, "transferRemote(uint32,bytes32,uint256)",
     ["uint32", "bytes32", "uint256"], [71003, bytes(12) + bytes.fromhex(OTHER[2:]), 5]),
    (RepayLine(SAFE, 5), ISTHMUS.credit_line, 0, "repay(address,uint256)", ["address", "uint256"], [SAFE, 5]),
]  # fmt: skip


@pytest.mark.parametrize("case", ENCODED, ids=lambda case: type(case[0]).__name__)
def test_encode__each_action__as_the_contract_reads_it(case: tuple[AnyAction, Address, int, str, list[str], list[Any]]) -> None:
    action, to, value, signature, kinds, values = case
    call = protocols.encode(OWN, action)
    assert (call.to, call.value) == (to, value)
    assert call.data == abi.selector(signature) + encode(kinds, values)
    assert call.note


def test_encode__every_action_type__has_an_encoder() -> None:
    assert {type(case[0]) for case in ENCODED} == set(get_args(AnyAction))
    assert {kind for p in protocols.PROTOCOLS for kind in p.ENCODERS} == set(get_args(AnyAction))


def emitters() -> list[tuple[str, Address]]:
    """(event signature, an address that may emit it) for everything that is decoded."""
    found = []
    for protocol in protocols.PROTOCOLS:
        where = sorted(protocol.watched(OWN)) or [SAFE]
        found += [(signature, address) for signature in protocol.TOPICS.values() for address in where]
    return found


def understood(signature: str, where: Address) -> bool:
    """Whether a log of this topic at this address is some protocol's own: a broken one then has to be refused."""
    try:
        protocols.decode(OWN, [Log(REF, where, (abi.topic(signature),) + (b"\xff" * 32,) * 9, b"\xff" * 999, 0)])
    except MalformedLog:
        return True
    return False


def test_decode__each_known_topic_in_another_shape__refused_by_name() -> None:
    seen = {signature for signature, where in emitters() if understood(signature, where)}
    # Hyperlane's DispatchId only repeats what Dispatch says, and a Safe's log carries its argument in either place.
    lenient = {"DispatchId(bytes32)", *safe.TOPICS.values()}
    assert set(protocols.TOPICS.values()) - seen <= lenient
    log = Log(REF, USDC, (abi.topic("Transfer(address,address,uint256)"),), b"", 0)
    with pytest.raises(MalformedLog, match=f"network 71001 block 5 log 3 of {USDC}, topic 0xddf252ad.*0 indexed arguments"):
        protocols.decode(OWN, [log])


def test_decode__unknown_topic_or_stranger__ignored() -> None:
    known = abi.topic("Transfer(address,address,uint256)")
    strange = [Log(REF, USDC, (b"\x01" * 32,), b"", 0), Log(REF, USDC, (), b"", 0), Log(REF, OTHER, (known,), b"", 0)]
    assert protocols.decode(OWN, strange) == ()


def raw(where: Address, signature: str, topics: list[bytes], kinds: list[str], values: list[Any]) -> Log:
    return Log(REF, where, (abi.topic(signature), *topics), encode(kinds, values), 0)


WORDS = st.binary(min_size=32, max_size=32)
UINTS = st.integers(0, 2**256 - 1)


@given(WORDS, WORDS, st.integers(0, 2**64 - 1), UINTS)
def test_isthmus__action_done__all_fields(action_id: bytes, need: bytes, sequence: int, draw: int) -> None:
    log = raw(ISTHMUS.module, isthmus.ACTION_DONE, [action_id, abi.padded(SAFE), need], ["uint64", "uint256"], [sequence, draw])
    assert protocols.decode(OWN, [log]) == (ActionDone(REF, SAFE, "0x" + action_id.hex(), "0x" + need.hex(), sequence, draw),)


@given(UINTS, UINTS, WORDS)
def test_isthmus__tickets__all_fields(atoms: int, nonce: int, basis: bytes) -> None:
    paid = raw(ISTHMUS.module, isthmus.WITHDRAWN, [abi.padded(SAFE), abi.padded(USDC)],
               ["uint256", "address", "uint256", "bytes32"], [atoms, OTHER, nonce, basis])  # fmt: skip
    traded = raw(ISTHMUS.module, isthmus.TRADE_DONE, [abi.padded(SAFE), abi.padded(OTHER)],
                 ["bytes4", "uint256", "bytes32"], [basis[:4], nonce, basis])  # fmt: skip
    nowhere = Address("0x" + "00" * 20)
    assert protocols.decode(OWN, [paid]) == (TicketUsed(REF, SAFE, "withdrawal", USDC, OTHER, atoms, nonce),)
    assert protocols.decode(OWN, [traded]) == (TicketUsed(REF, SAFE, "trade", nowhere, OTHER, 0, nonce),)


@given(st.integers(-(2**255), 2**255 - 1), UINTS, UINTS)
def test_chainlink__answer__by_its_proxy_and_never_below_zero(answer: int, round_id: int, when: int) -> None:
    feed = OWN.feeds["eth_usd"]
    assert feed.aggregator
    topics = [answer.to_bytes(32, "big", signed=True), abi.uint(round_id)]
    log = raw(feed.aggregator, chainlink.ANSWER_UPDATED, topics, ["uint256"], [when])
    if answer < 0:
        with pytest.raises(MalformedLog, match="below zero"):
            protocols.decode(OWN, [log])
    else:
        assert protocols.decode(OWN, [log]) == (PricePublished(REF, feed.proxy, answer, round_id, when),)


@given(st.integers(-(2**255), 2**255 - 1), st.integers(0, 2**160 - 1), st.integers(-(2**23), 2**23 - 1))
def test_uniswap__swap__signed_amounts(amount: int, price: int, tick: int) -> None:
    kinds = ["int256", "int256", "uint160", "uint128", "int24"]
    log = raw(UNISWAP.pools[0].address, uniswap_v3.SWAP, [abi.padded(SAFE)] * 2, kinds, [amount, ~amount, price, 7, tick])
    assert protocols.decode(OWN, [log]) == (Swapped(REF, UNISWAP.pools[0].address, amount, ~amount, price, 7, tick),)


def test_safe__old_and_new_event_forms__the_same_change() -> None:
    topic, word = abi.topic("EnabledModule(address)"), abi.padded(OTHER)
    wanted = (CustodyChanged(REF, SAFE, "module_enabled", OTHER),)
    assert protocols.decode(OWN, [Log(REF, SAFE, (topic, word), b"", 0)]) == wanted
    assert protocols.decode(OWN, [Log(REF, SAFE, (topic,), word, 0)]) == wanted


def test_decode__two_protocols_in_one_block__in_log_order() -> None:
    change = Log(replace(REF, log_index=1), SAFE, (abi.topic("ChangedThreshold(uint256)"),), abi.uint(3), 0)
    moved = raw(USDC, "Transfer(address,address,uint256)", [abi.padded(SAFE), abi.padded(OTHER)], ["uint256"], [5])
    assert [e.ref.log_index for e in protocols.decode(OWN, [change, moved])] == [1, 3]


def test_reads__one_account__every_place_once_with_its_sign() -> None:
    found = protocols.reads(OWN, SAFE)
    keys = [(r.place, r.kind, r.asset) for r in found]
    assert len(keys) == len(set(keys)) == len(OWN.tokens) + 1 + 2 * len(AAVE.reserves) + 1
    assert {r.sign for r in found if r.kind in ("debt", "financing")} == {-1}
    assert ("wallet", "position", f"71001:{'0x' + '00' * 20}") in keys
    assert found[0].decode(abi.uint(7)) == 7
    with pytest.raises(ValueError, match="one word"):
        found[0].decode(b"")

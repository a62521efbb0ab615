"""The small ABI and RLP against the general codecs."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as general_rlp  # type: ignore[import-untyped]  # the package has no types
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from chains import abi
from chains.types import Address

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
UINTS = st.integers(0, 2**256 - 1)
BLOBS = st.binary(max_size=100)


def test_topic_and_selector__transfer__well_known() -> None:
    assert abi.topic("Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")
    assert abi.selector("transfer(address,uint256)").hex() == "a9059cbb"


@given(ADDRESSES, UINTS, st.integers(-(2**255), 2**255 - 1))
def test_words__any_values__equal_the_codec(where: Address, number: int, signed: int) -> None:
    data = encode(["address", "uint256", "int256"], [where, number, signed])
    assert (abi.address_at(data, 0), abi.uint_at(data, 1), abi.int_at(data, 2)) == (where, number, signed)
    assert abi.call_data("f(address,uint256)", where, number) == abi.selector("f(address,uint256)") + data[:64]


@given(st.lists(ADDRESSES, max_size=5), BLOBS, UINTS)
def test_dynamic__any_values__equal_the_codec(where: list[Address], blob: bytes, number: int) -> None:
    data = encode(["address[]", "uint256", "bytes"], [where, number, blob])
    assert [abi.to_address(w) for w in abi.words_from(data, abi.offset_at(data, 0))] == where
    assert abi.bytes_from(data, abi.offset_at(data, 2)) == blob


@given(st.lists(st.tuples(ADDRESSES, st.booleans(), BLOBS), max_size=5))
def test_dynamic_array__tuples_with_bytes__equal_the_codec(items: list[tuple[Address, bool, bytes]]) -> None:
    own = [abi.padded(to) + abi.uint(int(may)) + abi.uint(96) + abi.tail(data) for to, may, data in items]
    assert abi.uint(32) + abi.dynamic_array(own) == encode(["(address,bool,bytes)[]"], [items])


@given(BLOBS)
def test_tail__any_bytes__reads_back(blob: bytes) -> None:
    data = abi.uint(32) + abi.tail(blob)
    assert abi.bytes_from(data, abi.offset_at(data, 0)) == blob == decode(["bytes"], data)[0]


@pytest.mark.parametrize(
    "read",
    [
        lambda: abi.word(bytes(63), 1),
        lambda: abi.to_address(b"\x01" * 32),
        lambda: abi.to_address(bytes(31)),
        lambda: abi.offset_at(abi.uint(33), 0),
        lambda: abi.bytes_from(abi.uint(5) + bytes(4), 0),
        lambda: abi.words_from(abi.uint(2) + bytes(32), 0),
        lambda: abi.rlp_list(b"\xc5\x01"),
        lambda: abi.rlp_list(b"\x81\xff"),
    ],
)
def test_readers__data_too_short_or_dirty__refused(read: Any) -> None:
    with pytest.raises(ValueError):
        read()


NESTED = st.recursive(st.binary(max_size=70) | st.integers(0, 2**256), lambda inner: st.lists(inner, max_size=6), max_leaves=20)


@given(NESTED)
def test_rlp__anything__equal_to_the_codec(item: Any) -> None:
    assert abi.rlp(item) == general_rlp.encode(item)


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_rlp_list__flat__reads_back(items: list[bytes]) -> None:
    assert abi.rlp_list(abi.rlp(items)) == items

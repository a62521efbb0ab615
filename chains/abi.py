"""The little of Ethereum's ABI and RLP that the library needs, without a codec: words, selectors, a few dynamic shapes.

Pure. The general codecs cost half a second of start-up and a hundredfold of decoding time; tests prove these equal to them.
Every reader raises ValueError for data that does not hold what is asked; nothing is ever read past the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from eth_hash.auto import keccak

from chains.types import Address

WORD = 32
MAX_UINT256 = 2**256 - 1


@cache
def topic(signature: str) -> bytes:
    """topic0 of an event signature like 'Transfer(address,address,uint256)'."""
    return keccak(signature.encode())


@cache
def selector(signature: str) -> bytes:
    """The four bytes that name a function."""
    return keccak(signature.encode())[:4]


# --- words out -------------------------------------------------------------------------------------------------------------------


def uint(value: int) -> bytes:
    """One word. Raises OverflowError outside 0..2**256-1."""
    return value.to_bytes(WORD, "big")


def padded(where: Address) -> bytes:
    """An address as one word (also Hyperlane's bytes32 form)."""
    return bytes(12) + bytes.fromhex(where[2:])


def call_data(signature: str, *words: int | Address) -> bytes:
    """Calldata of a function with static arguments only; an int is a number, a string an address."""
    return selector(signature) + b"".join(uint(w) if isinstance(w, int) else padded(w) for w in words)


def tail(data: bytes) -> bytes:
    """Dynamic bytes: length, then data padded to whole words."""
    return uint(len(data)) + data + bytes(-len(data) % WORD)


def dynamic_array(items: Sequence[bytes]) -> bytes:
    """An array of dynamic items that are already encoded: length, offsets, items."""
    heads, at = [uint(len(items))], WORD * len(items)
    for item in items:
        heads.append(uint(at))
        at += len(item)
    return b"".join((*heads, *items))


# --- words in --------------------------------------------------------------------------------------------------------------------


def word(data: bytes, index: int) -> bytes:
    """The word at `index`. Raises ValueError past the end."""
    found = data[WORD * index : WORD * index + WORD]
    if len(found) != WORD:
        raise ValueError(f"no word {index} in {len(data)} bytes")
    return found


def uint_at(data: bytes, index: int) -> int:
    """Unsigned word."""
    return int.from_bytes(word(data, index), "big")


def int_at(data: bytes, index: int) -> int:
    """Signed word."""
    return int.from_bytes(word(data, index), "big", signed=True)


def to_address(raw: bytes) -> Address:
    """The address in a word. Raises ValueError when the upper twelve bytes are not zero."""
    if len(raw) != WORD or any(raw[:12]):
        raise ValueError(f"not an address word: 0x{raw.hex()}")
    return Address("0x" + raw[12:].hex())


def address_at(data: bytes, index: int) -> Address:
    """Address word."""
    return to_address(word(data, index))


def offset_at(data: bytes, index: int, base: int = 0) -> int:
    """Byte position of the dynamic item whose offset stands in word `index` after `base`. Raises ValueError past the end."""
    at = base + int.from_bytes(word(data[base:], index), "big")
    if at + WORD > len(data):
        raise ValueError(f"offset {at} lies past the end of {len(data)} bytes")
    return at


def bytes_from(data: bytes, at: int) -> bytes:
    """Dynamic bytes whose length word stands at byte `at`. Raises ValueError when cut short."""
    size = int.from_bytes(data[at : at + WORD], "big")
    if at + WORD + size > len(data):
        raise ValueError(f"{size} bytes at {at} do not fit into {len(data)}")
    return data[at + WORD : at + WORD + size]


def words_from(data: bytes, at: int) -> list[bytes]:
    """Dynamic array of one-word items whose length word stands at byte `at`."""
    size = int.from_bytes(data[at : at + WORD], "big")
    if at + WORD + WORD * size > len(data):
        raise ValueError(f"{size} words at {at} do not fit into {len(data)} bytes")
    return [data[at + WORD + WORD * i : at + 2 * WORD + WORD * i] for i in range(size)]


# --- RLP -------------------------------------------------------------------------------------------------------------------------

Rlp = bytes | int | Sequence["Rlp"]


def rlp(item: Rlp) -> bytes:
    """RLP of bytes, non-negative integers and sequences of them."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _rlp_head(len(item), 0x80) + item
    body = b"".join(rlp(part) for part in item)
    return _rlp_head(len(body), 0xC0) + body


def _rlp_head(size: int, base: int) -> bytes:
    if size < 56:
        return bytes([base + size])
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length


def rlp_list(data: bytes) -> list[bytes]:
    """The items of one RLP list; an item that is a list itself comes back as its payload. Raises ValueError when cut short."""
    at, end = _rlp_span(data, 0)
    if data[:1] < b"\xc0" or end != len(data):
        raise ValueError("not one RLP list")
    items: list[bytes] = []
    while at < end:
        start, stop = _rlp_span(data, at)
        items.append(data[start:stop])
        at = stop
    return items


def _rlp_span(data: bytes, at: int) -> tuple[int, int]:
    """(first byte, byte after the last) of the payload of the item at `at`."""
    if at >= len(data):
        raise ValueError("RLP is cut short")
    head = data[at]
    if head < 0x80:
        return at, at + 1
    base = 0x80 if head < 0xC0 else 0xC0
    long = head - base - 55
    start = at + 1 + max(long, 0)
    size = int.from_bytes(data[at + 1 : start], "big") if long > 0 else head - base
    if start + size > len(data):
        raise ValueError("RLP is cut short")
    return start, start + size

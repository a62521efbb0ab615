"""Signing: the only place where a private key is used. A signer knows its address and signs 32 bytes; nothing else is asked of it.

Local keys live in memory and never appear in a repr or an error. A key store or remote signer implements the same two members.
Signatures are 65 bytes r, s, v with v 27 or 28 and low s, as contracts' ecrecover wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

from chains import abi
from chains.types import Address, ChainId, Hash

TYPE_1559 = b"\x02"


class Signer(Protocol):
    """Whoever can sign 32 bytes for one address."""

    @property
    def address(self) -> Address: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r, s, v (27 or 28) over exactly 32 bytes. Raises ValueError for another length."""
        ...


def _address(key: PublicKey) -> Address:
    return Address("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())


class LocalSigner:
    """A key in this process's memory: for local networks and tests."""

    def __init__(self, key: bytes | str) -> None:
        """32 bytes or their hex. Raises ValueError, without showing the key."""
        raw = bytes.fromhex(key.removeprefix("0x")) if isinstance(key, str) else key
        if len(raw) != 32:
            raise ValueError(f"a private key has 32 bytes, this one has {len(raw)}")
        self._key = PrivateKey(raw)
        self._address = _address(self._key.public_key)

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: bytes) -> bytes:
        """Deterministic (RFC 6979): the same digest gives the same bytes."""
        if len(digest) != 32:
            raise ValueError(f"a digest has 32 bytes, this one has {len(digest)}")
        made = self._key.sign_recoverable(digest, hasher=None)
        return made[:64] + bytes([made[64] + 27])

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"


def recover(digest: bytes, signature: bytes) -> Address:
    """Who signed the 32 bytes. Raises ValueError for a malformed signature."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise ValueError("a signature has 65 bytes and ends with 27 or 28")
    raw = signature[:64] + bytes([signature[64] - 27])
    return _address(PublicKey.from_signature_and_message(raw, digest, hasher=None))


@dataclass(frozen=True, slots=True)
class TxFields:
    """One EIP-1559 transaction without its signature; fees in wei per gas, value in wei."""

    chain_id: ChainId
    nonce: int
    priority_fee: int
    max_fee: int
    gas: int
    to: Address
    value: int
    data: bytes


def _unsigned(tx: TxFields) -> list[abi.Rlp]:
    to = bytes.fromhex(tx.to[2:])
    return [int(tx.chain_id), tx.nonce, tx.priority_fee, tx.max_fee, tx.gas, to, tx.value, tx.data, []]


def sign_transaction(signer: Signer, tx: TxFields) -> tuple[bytes, Hash]:
    """(raw bytes, transaction hash) of the signed transaction."""
    digest = keccak(TYPE_1559 + abi.rlp(_unsigned(tx)))
    signature = signer.sign_digest(digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw = TYPE_1559 + abi.rlp([*_unsigned(tx), signature[64] - 27, r, s])
    return raw, Hash("0x" + keccak(raw).hex())


def read_transaction(raw: bytes) -> TxFields:
    """The fields of raw bytes that `sign_transaction` made. Raises ValueError for another kind of transaction."""
    if raw[:1] != TYPE_1559:
        raise ValueError("not an EIP-1559 transaction")
    items = abi.rlp_list(raw[1:])
    if len(items) != 12:
        raise ValueError(f"an EIP-1559 transaction has 12 items, this one has {len(items)}")
    numbers = [int.from_bytes(item, "big") for item in items]
    to = Address("0x" + items[5].hex())
    return TxFields(ChainId(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4], to, numbers[6], items[7])

"""Signatures and transactions against eth_account."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.signer import LocalSigner, TxFields, read_transaction, recover, sign_transaction
from chains.types import Address, ChainId

KEYS = st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big"))
FIELDS = st.builds(
    TxFields,
    st.integers(1, 2**40).map(ChainId),
    st.integers(0, 2**60),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(21_000, 30_000_000),
    st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())),
    st.integers(0, 10**30),
    st.binary(max_size=200),
)


@given(KEYS, FIELDS)
@settings(max_examples=40, deadline=None)
def test_sign_transaction__any_fields__equal_to_eth_account(key: bytes, fields: TxFields) -> None:
    raw, tx_hash = sign_transaction(LocalSigner(key), fields)
    general = Account.sign_transaction(
        {
            "type": 2,
            "chainId": int(fields.chain_id),
            "nonce": fields.nonce,
            "maxPriorityFeePerGas": fields.priority_fee,
            "maxFeePerGas": fields.max_fee,
            "gas": fields.gas,
            "to": bytes.fromhex(fields.to[2:]),
            "value": fields.value,
            "data": fields.data,
        },
        key,
    )
    assert (raw, tx_hash) == (bytes(general.raw_transaction), general.hash.to_0x_hex())
    assert read_transaction(raw) == fields


@given(KEYS, st.binary(min_size=32, max_size=32))
@settings(max_examples=40, deadline=None)
def test_sign_digest__any_digest__recovers_to_the_signer(key: bytes, digest: bytes) -> None:
    signer = LocalSigner(key)
    signature = signer.sign_digest(digest)
    assert signature == bytes(Account.unsafe_sign_hash(digest, key).signature)
    assert recover(digest, signature) == signer.address == Account.from_key(key).address.lower()


def test_signer__shown__hides_the_key() -> None:
    signer = LocalSigner("0x" + "11" * 32)
    assert repr(signer) == f"LocalSigner({signer.address})"
    assert "11111111" not in repr(vars(signer))


@pytest.mark.parametrize("key", [b"", bytes(31), "0x12"])
def test_signer__wrong_length__refused(key: bytes | str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LocalSigner(key)


def test_recover__malformed__refused() -> None:
    with pytest.raises(ValueError, match="27 or 28"):
        recover(bytes(32), bytes(65))
    with pytest.raises(ValueError, match="digest"):
        LocalSigner(b"\x01" * 32).sign_digest(b"short")
    with pytest.raises(ValueError, match="EIP-1559"):
        read_transaction(b"\xf8\x01")

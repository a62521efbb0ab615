"""What Python signs is what eth_account signs and what the contracts check."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chains import abi
from chains.contracts import artifacts, reasons, typed
from chains.types import Address, Call, address
from tests.chain.custody_calls import PLANNERS, call_data
from tests.chain.custody_world import World

addresses = st.binary(min_size=20, max_size=20).map(lambda b: address("0x" + b.hex()))
hashes = st.binary(min_size=32, max_size=32).map(lambda b: "0x" + b.hex())
words = st.integers(0, 2**256 - 1)
times = st.integers(0, 2**64 - 1)
data = st.binary(max_size=100)
calls = st.lists(st.builds(Call, addresses, data, words), max_size=3).map(tuple)
terms = st.one_of(
    st.tuples(st.just("Action"), st.builds(typed.ActionTerms, hashes, addresses, hashes, hashes, times, words, calls, times, times,
                                           addresses, data, st.integers(0, 255), words)),
    st.tuples(st.just("Withdrawal"), st.builds(typed.WithdrawalTerms, hashes, addresses, addresses, words, addresses, words, times,
                                               times, hashes)),
    st.tuples(st.just("Trade"), st.builds(typed.TradeTerms, hashes, addresses, addresses, words, data, words, times, times,
                                          hashes)),
    st.tuples(st.just("Restriction"), st.builds(typed.RestrictionTerms, hashes, addresses, times, times)),
    st.tuples(st.just("Objection"), st.builds(typed.ObjectionTerms, hashes, addresses, times, hashes)),
    st.tuples(st.just("Exit"), st.builds(typed.ExitTerms, hashes, addresses, words)),
)


@given(terms, st.integers(1, 2**64), addresses)
@settings(max_examples=60, deadline=None)
def test_digest__any_terms__equals_eth_account(pair: tuple[Any, Any], chain_id: int, module: Address) -> None:
    kind, value = pair
    signable = encode_typed_data(full_message=typed.typed_data(kind, value, chain_id, module))
    expected = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert typed.digest(kind, value, chain_id, module) == expected


ENCODERS: dict[str, Any] = {"Action": typed.encode_execute, "Withdrawal": typed.encode_withdraw, "Trade": typed.encode_trade,
                            "Restriction": typed.encode_restrict, "Objection": typed.encode_object}


def plain(value: Any) -> Any:
    """A field as the general codec wants it."""
    if isinstance(value, tuple):
        return [(call.to, call.value, call.data) for call in value]
    return bytes.fromhex(value[2:]) if isinstance(value, str) and len(value) == 66 else value


@given(terms, st.dictionaries(addresses, st.binary(min_size=65, max_size=65), max_size=3))
@settings(max_examples=60, deadline=None)
def test_encode__any_terms__equals_the_general_codec(pair: tuple[Any, Any], signed: dict[Address, bytes]) -> None:
    kind, value = pair
    if kind not in ENCODERS:
        return
    columns = [entry["type"].replace("Call[]", "(address,uint256,bytes)[]") for entry in
               typed.typed_data(kind, value, 1, address("0x" + "00" * 20))["types"][kind]]
    values = [plain(getattr(value, field.name)) for field in fields(value)]
    expected = encode([f"({','.join(columns)})", "bytes"], [values, typed.join(signed)])
    assert ENCODERS[kind](value, signed)[4:] == expected


@pytest.mark.parametrize("field,wrong", [("sequence", 2**64), ("post_word", 256), ("draw", -1), ("action_id", "0x12")])
def test_digest__field_that_does_not_fit__refused(field: str, wrong: Any) -> None:
    zero = address("0x" + "00" * 20)
    good = typed.ActionTerms(typed.NO_HASH, zero, typed.NO_HASH, typed.NO_HASH, 1, 0, (), 1, 1)
    with pytest.raises(typed.TermsOutOfRange):
        typed.digest("Action", replace(good, **{field: wrong}), 1, zero)


def test_digest__terms_of_another_kind__refused() -> None:
    with pytest.raises(typed.TermsMismatch, match="wants ActionTerms, got ExitTerms"):
        typed.digest("Action", typed.ExitTerms(typed.NO_HASH, address("0x" + "00" * 20), 0), 1, address("0x" + "00" * 20))


def test_join__signatures__ascend_by_signer() -> None:
    low, high = address("0x" + "09" * 20), address("0x" + "0a" * 20)
    assert typed.join({high: b"\2" * 65, low: b"\1" * 65}) == b"\1" * 65 + b"\2" * 65


@pytest.mark.chain
def test_encoders__match_the_abi_of_the_contracts(world: World) -> None:
    abi = list(artifacts.load("MarginModule").abi)
    module = world.w3.eth.contract(abi=abi)
    action = world.action(Call(world.pool, b"\1\2", 3), Call(world.usdc, b""))
    signed = world.sign("Action", action, PLANNERS[:2])
    name, arguments = module.decode_function_input(typed.encode_execute(action, signed))
    assert name.fn_name == "execute" and arguments["signatures"] == typed.join(signed)
    assert [(c["to"].lower(), c["value"], c["data"]) for c in arguments["a"]["calls"]] == [
        (world.pool, 3, b"\1\2"), (world.usdc, 0, b"")]
    assert arguments["a"]["sequence"] == 1 and arguments["a"]["deadline"] == action.deadline


@pytest.mark.chain
def test_safe_tx_hash__equals_the_safes_own(world: World) -> None:
    kinds = "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)"
    zero = "0x" + "00" * 20
    found = world.read(world.safe, kinds, world.pool, 5, b"\7" * 70, 1, 0, 0, 0, zero, zero, 9, returns="bytes32")
    assert typed.safe_tx_hash(world.network.chain_id, world.safe, world.pool, 5, b"\7" * 70, 1, 9) == found


def test_reasons__known_unknown_and_text__are_named() -> None:
    sequence = artifacts_selector("WrongSequence(uint64)") + (7).to_bytes(32, "big")
    assert str(reasons.of_data(sequence)) == "WrongSequence(7)"
    text = call_data("Error(string)", "GS026")
    assert str(reasons.of_data(text)) == "GS026"
    assert str(reasons.of_data(call_data("Panic(uint256)", 17))) == "Panic(17)"
    assert str(reasons.of_data(b"\xde\xad\xbe\xef" + bytes(32))) == "0xdeadbeef"
    assert reasons.of_data(b"") is None and str(reasons.of_data(sequence[:20])).startswith("0x")


def artifacts_selector(signature: str) -> bytes:
    return abi.selector(signature)


def test_artifacts__unknown_name__lists_those_there_are() -> None:
    with pytest.raises(artifacts.ArtifactUnknown, match="MarginModule"):
        artifacts.load("Margin")

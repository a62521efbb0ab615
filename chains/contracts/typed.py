"""What the keys sign and what carries it: EIP-712 terms of MarginModule, Safe transactions, and their calldata.

Pure. Terms are dataclasses whose fields stand in the order of the Solidity structs in `src/Terms.sol`; ids and hashes are 0x hex,
addresses lower-case 0x hex, calldata bytes, times seconds of block time. Signatures are 65 bytes (r, s, v; v is 27 or 28), always
passed by signer, because the contracts want them in ascending order of the signers' addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from eth_hash.auto import keccak

from chains import abi
from chains.types import ZERO_ADDRESS, Address, Call

Kind = Literal["Action", "Withdrawal", "Trade", "Restriction", "Objection", "Exit"]
Signatures = Mapping[Address, bytes]

NO_HASH: Final = "0x" + "00" * 32
DOMAIN_NAME: Final = "Isthmus MarginModule"
DOMAIN_VERSION: Final = "1"
_DOMAIN: Final = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_SAFE_DOMAIN: Final = keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX: Final = keccak(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
    b"address gasToken,address refundReceiver,uint256 nonce)"
)

_DYNAMIC: Final = ("bytes", "Call[]")
_CALL: Final = ("address", "uint256", "bytes")
_FIELDS: Final[Mapping[str, str]] = {
    "Call": "address to,uint256 value,bytes data",
    "Action": "bytes32 deployment,address safe,bytes32 actionId,bytes32 needKey,uint64 sequence,uint256 draw,Call[] calls,"
    "uint64 deadline,uint64 asOf,address postTarget,bytes postCall,uint8 postWord,uint256 postMin",
    "Withdrawal": "bytes32 deployment,address safe,address token,uint256 amount,address recipient,uint256 nonce,uint64 expiry,"
    "uint64 asOf,bytes32 basis",
    "Trade": "bytes32 deployment,address safe,address to,uint256 value,bytes data,uint256 nonce,uint64 expiry,uint64 asOf,"
    "bytes32 basis",
    "Restriction": "bytes32 deployment,address safe,uint64 until,uint64 asOf",
    "Objection": "bytes32 deployment,address safe,uint64 asOf,bytes32 reason",
    "Exit": "bytes32 deployment,address safe,uint256 round",
}


class TermsMismatch(TypeError):
    """The terms are not of the kind that was named."""


class TermsOutOfRange(ValueError):
    """A field does not fit its Solidity type."""


@dataclass(frozen=True, slots=True)
class ActionTerms:
    """A planner action. `sequence` is `next(safe, needKey)` of the module; `draw` atoms come from the credit line first.

    With a `post_target`, word `post_word` of its answer to `post_call` must be at least `post_min` afterwards.
    """

    deployment: str
    safe: Address
    action_id: str
    need_key: str
    sequence: int
    draw: int
    calls: tuple[Call, ...]
    deadline: int
    as_of: int
    post_target: Address = ZERO_ADDRESS
    post_call: bytes = b""
    post_word: int = 0
    post_min: int = 0


@dataclass(frozen=True, slots=True)
class WithdrawalTerms:
    """A ticket to pay `amount` atoms of `token` (zero: native coin). `nonce` is that of the Safe transaction that carries it."""

    deployment: str
    safe: Address
    token: Address
    amount: int
    recipient: Address
    nonce: int
    expiry: int
    as_of: int
    basis: str


@dataclass(frozen=True, slots=True)
class TradeTerms:
    """A ticket for one exact call that raises risk or sends value to another network."""

    deployment: str
    safe: Address
    to: Address
    value: int
    data: bytes
    nonce: int
    expiry: int
    as_of: int
    basis: str


@dataclass(frozen=True, slots=True)
class RestrictionTerms:
    """Owners of `safe` trade no more until `until` (at most a day ahead)."""

    deployment: str
    safe: Address
    until: int
    as_of: int


@dataclass(frozen=True, slots=True)
class ObjectionTerms:
    """The engine's objection to a pending exit; `reason` is a hash of its words."""

    deployment: str
    safe: Address
    as_of: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExitTerms:
    """An exit that the owners sign past the guard; `round` counts the account's exits so far."""

    deployment: str
    safe: Address
    round: int


Terms = ActionTerms | WithdrawalTerms | TradeTerms | RestrictionTerms | ObjectionTerms | ExitTerms
_KINDS: Final = (ActionTerms, WithdrawalTerms, TradeTerms, RestrictionTerms, ObjectionTerms, ExitTerms)
_CLASSES: Final[Mapping[str, type[Terms]]] = {terms.__name__.removesuffix("Terms"): terms for terms in _KINDS}


def _columns(kind: str) -> list[tuple[str, str]]:
    """(type, name) of a struct's fields."""
    return [(kind_, name) for kind_, name in (field.split(" ") for field in _FIELDS[kind].split(","))]


def _value(column: str, value: Any) -> Any:
    if column == "Call[]":
        return [(call.to, call.value, call.data) for call in value]
    return bytes.fromhex(value[2:]) if column == "bytes32" else value


def _word(column: str, value: Any) -> bytes:
    if column == "address":
        return abi.padded(value)
    if column == "bytes32":
        if len(value) != abi.WORD:
            raise TermsOutOfRange(f"0x{value.hex()} is not 32 bytes; ids and hashes are 0x and 64 hex digits")
        return bytes(value)
    if not 0 <= value < 1 << int(column.removeprefix("uint")):
        raise TermsOutOfRange(f"{value} is no {column}")
    return abi.uint(value)


def _tuple(columns: Sequence[str], values: Sequence[Any]) -> bytes:
    """ABI encoding of a tuple: words in place, what is dynamic behind them."""
    heads, tails, end = [], [], abi.WORD * len(columns)
    for column, value in zip(columns, values, strict=True):
        if column not in _DYNAMIC:
            heads.append(_word(column, value))
            continue
        heads.append(abi.uint(end))
        tails.append(abi.tail(value) if column == "bytes" else abi.dynamic_array([_tuple(_CALL, call) for call in value]))
        end += len(tails[-1])
    return b"".join((*heads, *tails))


def _values(kind: Kind, terms: Terms) -> list[Any]:
    if not isinstance(terms, _CLASSES[kind]):
        raise TermsMismatch(f"kind {kind!r} wants {_CLASSES[kind].__name__}, got {type(terms).__name__}")
    raw = [getattr(terms, field.name) for field in fields(terms)]
    return [_value(column, value) for (column, _), value in zip(_columns(kind), raw, strict=True)]


def type_hash(kind: str) -> bytes:
    """EIP-712 type hash of one struct."""
    text = f"{kind}({_FIELDS[kind]})" + (f"Call({_FIELDS['Call']})" if kind == "Action" else "")
    return bytes(keccak(text.encode()))


def _hashed(column: str, value: Any) -> Any:
    if column == "bytes":
        return keccak(value)
    if column == "Call[]":
        head = type_hash("Call")
        return keccak(b"".join(keccak(head + abi.padded(to) + abi.uint(wei) + keccak(data)) for to, wei, data in value))
    return value


def struct_hash(kind: Kind, terms: Terms) -> bytes:
    """EIP-712 struct hash. Raises TermsMismatch when the terms are of another kind."""
    columns = [column for column, _ in _columns(kind)]
    values = [_hashed(column, value) for column, value in zip(columns, _values(kind, terms), strict=True)]
    plain = ["bytes32" if column in _DYNAMIC else column for column in columns]
    return bytes(keccak(type_hash(kind) + _tuple(plain, values)))


def digest(kind: Kind, terms: Terms, chain_id: int, module: Address) -> bytes:
    """The 32 bytes that the keys sign."""
    names = keccak(DOMAIN_NAME.encode()) + keccak(DOMAIN_VERSION.encode())
    separator = keccak(_DOMAIN + names + abi.uint(chain_id) + abi.padded(module))
    return bytes(keccak(b"\x19\x01" + separator + struct_hash(kind, terms)))


def typed_data(kind: Kind, terms: Terms, chain_id: int, module: Address) -> dict[str, Any]:
    """The same as a document for eth_signTypedData_v4, for signers that show what they sign."""
    names = ["Call", kind] if kind == "Action" else [kind]
    types = {name: [{"name": n, "type": t} for t, n in _columns(name)] for name in names}
    message: dict[str, Any] = {n: v for (_, n), v in zip(_columns(kind), _values(kind, terms), strict=True)}
    if kind == "Action":
        message["calls"] = [{"to": to, "value": wei, "data": data} for to, wei, data in message["calls"]]
    domain = {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": chain_id, "verifyingContract": module}
    kinds = zip(("string", "string", "uint256", "address"), domain, strict=True)
    head = [{"name": name, "type": column} for column, name in kinds]
    return {"types": {"EIP712Domain": head, **types}, "primaryType": kind, "domain": domain, "message": message}


def join(signatures: Signatures) -> bytes:
    """Signatures one after the other, in ascending order of the signers."""
    return b"".join(signatures[signer] for signer in sorted(signatures, key=lambda a: int(a, 16)))


def _signed(function: str, kind: Kind, terms: Terms, signatures: Signatures) -> bytes:
    columns, values = [column for column, _ in _columns(kind)], _values(kind, terms)
    struct = "(" + ",".join("(address,uint256,bytes)[]" if column == "Call[]" else column for column in columns) + ")"
    signed = abi.tail(join(signatures))
    body = _tuple(columns, values)
    if any(column in _DYNAMIC for column in columns):
        arguments = abi.uint(2 * abi.WORD) + abi.uint(2 * abi.WORD + len(body)) + body + signed
    else:
        arguments = body + abi.uint(len(body) + abi.WORD) + signed
    return abi.selector(f"{function}({struct},bytes)") + arguments


def encode_execute(terms: ActionTerms, signatures: Signatures) -> bytes:
    """Calldata of MarginModule.execute; anyone may send it."""
    return _signed("execute", "Action", terms, signatures)


def encode_withdraw(terms: WithdrawalTerms, signatures: Signatures) -> bytes:
    """Calldata of MarginModule.withdraw; the Safe calls it."""
    return _signed("withdraw", "Withdrawal", terms, signatures)


def encode_trade(terms: TradeTerms, signatures: Signatures) -> bytes:
    """Calldata of MarginModule.trade; the Safe calls it."""
    return _signed("trade", "Trade", terms, signatures)


def encode_restrict(terms: RestrictionTerms, signatures: Signatures) -> bytes:
    """Calldata of MarginModule.restrict; anyone may send it."""
    return _signed("restrict", "Restriction", terms, signatures)


def encode_object(terms: ObjectionTerms, signatures: Signatures) -> bytes:
    """Calldata of MarginModule.objectToExit; anyone may send it."""
    return _signed("objectToExit", "Objection", terms, signatures)


def local_pin(recipient: Address) -> bytes:
    """The recipient word of an address on the same network, as RuleBook pins it."""
    return abi.padded(recipient)


def remote_pin(domain: int, recipient: Address) -> bytes:
    """The recipient word of an address behind a bridge's domain, as RuleBook pins it."""
    return bytes(keccak(abi.uint(domain) + abi.padded(recipient)))


def safe_tx_hash(chain_id: int, safe: Address, to: Address, value: int, data: bytes, operation: int, nonce: int) -> bytes:
    """What a Safe's owners sign. Gas fields and refunds are zero: the guard refuses anything else."""
    separator = keccak(_SAFE_DOMAIN + abi.uint(chain_id) + abi.padded(safe))
    call = abi.padded(to) + abi.uint(value) + keccak(data) + abi.uint(operation)
    return bytes(keccak(b"\x19\x01" + separator + keccak(_SAFE_TX + call + bytes(5 * abi.WORD) + abi.uint(nonce))))


def encode_exec_transaction(to: Address, value: int, data: bytes, operation: int, signatures: Signatures) -> bytes:
    """Calldata of Safe.execTransaction, gas fields and refunds zero."""
    columns = ["address", "uint256", "bytes", "uint8", *["uint256"] * 3, "address", "address", "bytes"]
    values = [to, value, data, operation, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, join(signatures)]
    return abi.selector(f"execTransaction({','.join(columns)})") + _tuple(columns, values)


def encode_multi_send(items: Iterable[Call]) -> bytes:
    """Calldata of MultiSendCallOnly.multiSend for plain calls; the Safe delegatecalls it (operation 1)."""
    packed = b"".join(b"\0" + bytes.fromhex(item.to[2:]) + abi.uint(item.value) + abi.uint(len(item.data)) + item.data
                      for item in items)
    return abi.selector("multiSend(bytes)") + _tuple(["bytes"], [packed])

"""What the custody tests send: constants, keys of roles, calldata of the venues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from eth_abi.abi import encode
from eth_account import Account

from chains import abi
from chains.contracts import typed
from chains.devnet import roles
from chains.types import ZERO_ADDRESS, Address, address

if TYPE_CHECKING:
    from tests.chain.custody_world import World

DAY = 86_400
USDC, ETHER = 10**6, 10**18
MAX = 2**256 - 1
SENTINEL = address("0x" + "00" * 19 + "01")
PLANNERS = ("planner-0", "planner-1", "planner-2")
TICKETERS = ("ticketer-0", "ticketer-1", "ticketer-2")
OWNERS = ("owner-0", "owner-1", "owner-2")
REMOTE = 71002


def who(role: str) -> Address:
    """Address of a role."""
    return address(roles.address(role))


def call_data(signature: str, *arguments: Any) -> bytes:
    """Calldata of 'name(types)'."""
    inner = signature[signature.index("(") + 1 : -1]
    return abi.selector(signature) + encode(split_types(inner), arguments)


def split_types(text: str) -> list[str]:
    """Top-level types of a comma-separated list with nested tuples."""
    found, depth, start = [], 0, 0
    for index, letter in enumerate(text + ","):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append(text[start:index])
            start = index + 1
    return [kind for kind in found if kind]


def signatures(digest: bytes, names: Iterable[str]) -> dict[Address, bytes]:
    """Signatures of roles over a digest, by signer."""
    return {who(name): bytes(Account.unsafe_sign_hash(digest, roles.key(name)).signature) for name in names}


def supply_data(world: World, token: str, atoms: int, holder: Address = ZERO_ADDRESS) -> bytes:
    """Aave supply for the account itself unless another holder is named."""
    beneficiary = world.safe if holder == ZERO_ADDRESS else holder
    return call_data("supply(address,uint256,address,uint16)", world.token(token), atoms, beneficiary, 0)


def repay_data(world: World, atoms: int, holder: Address = ZERO_ADDRESS) -> bytes:
    """Aave repay of USDC at the variable rate."""
    beneficiary = world.safe if holder == ZERO_ADDRESS else holder
    return call_data("repay(address,uint256,uint256,address)", world.usdc, atoms, 2, beneficiary)


def borrow_data(world: World, atoms: int) -> bytes:
    """Aave borrow of USDC at the variable rate."""
    return call_data("borrow(address,uint256,uint256,uint16,address)", world.usdc, atoms, 2, 0, world.safe)


def swap_data(world: World, atoms: int, min_out: int, *, recipient: Address | None = None, token_in: Address | None = None,
              token_out: Address | None = None, fee: int = 3000) -> bytes:
    """Uniswap exactInputSingle, WETH into USDC for the account itself unless told otherwise."""
    terms = (token_in or world.weth, token_out or world.usdc, fee, recipient or world.safe, 2**40, atoms, min_out, 0)
    return call_data("exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))", terms)


def bridge_data(recipient: Address, atoms: int, domain: int = REMOTE) -> bytes:
    """Hyperlane transferRemote."""
    return call_data("transferRemote(uint32,bytes32,uint256)", domain, typed.local_pin(recipient), atoms)

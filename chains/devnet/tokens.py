"""Tokens of the local networks and how accounts come to hold them.

WETH is the real WETH9. Circle's USDC is in no npm package, so the native USDC is Aave's MintableERC20 (OpenZeppelin's ERC-20 with
permit and a mint that is open to everyone) with 6 decimals: its transfers behave like USDC's, its minting does not.
"""

from __future__ import annotations

from web3 import Web3
from web3.contract import Contract

from chains.devnet.lib import MAX, at, checksum, deploy, rpc, send

USDC = "aave/MintableERC20"
WETH = "weth/WETH9"


def usdc(w3: Web3) -> Contract:
    """Deploy the native USDC."""
    return deploy(w3, USDC, "USD Coin", "USDC", 6)


def link(w3: Web3) -> Contract:
    """Deploy the token that Chainlink's aggregator asks for; nobody is ever paid in it."""
    return deploy(w3, USDC, "Chainlink Token", "LINK", 18)


def weth(w3: Web3) -> Contract:
    """Deploy WETH9."""
    return deploy(w3, WETH)


def set_ether(w3: Web3, owner: str, wei: int) -> None:
    """Set an account's native balance."""
    rpc(w3, "anvil_setBalance", owner, hex(wei))


def mint_usdc(w3: Web3, token: str, owner: str, atoms: int) -> None:
    """Create native USDC for `owner`."""
    contract = at(w3, token, USDC)
    send(w3, contract.get_function_by_signature("mint(address,uint256)")(checksum(owner), atoms))


def wrap(w3: Web3, token: str, role: str, wei: int) -> None:
    """Wrap native coin of a role."""
    send(w3, at(w3, token, WETH).functions.deposit(), role, wei)


def approve(w3: Web3, token: str, role: str, spender: str) -> None:
    """Let `spender` take any quantity of a role's token."""
    send(w3, at(w3, token, USDC).functions.approve(checksum(spender), MAX), role)

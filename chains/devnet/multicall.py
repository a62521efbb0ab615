"""Multicall3 at its canonical address: the creation code is run, and the runtime code it leaves is set there."""

from __future__ import annotations

from typing import Final

from web3 import Web3

from chains.devnet.lib import deploy, rpc

ADDRESS: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"


def install(w3: Web3) -> str:
    """Put Multicall3 at the address it has on every network, and return that address."""
    made = deploy(w3, "multicall/Multicall3")
    rpc(w3, "anvil_setCode", ADDRESS, Web3.to_hex(w3.eth.get_code(made.address)))
    return ADDRESS

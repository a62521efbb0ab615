"""Safe 1.4.1: the singleton that emits full events, its factory and its libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from web3 import Web3

from chains.devnet.lib import deploy

VERSION: Final = "1.4.1"


@dataclass(frozen=True)
class Safe:
    """Addresses of Safe's shared contracts. `singleton` is SafeL2."""

    singleton: str
    proxy_factory: str
    multi_send_call_only: str
    multi_send: str
    fallback_handler: str
    sign_message_lib: str


def install(w3: Web3) -> Safe:
    """Deploy Safe 1.4.1."""
    names = ("SafeL2", "SafeProxyFactory", "MultiSendCallOnly", "MultiSend", "CompatibilityFallbackHandler", "SignMessageLib")
    return Safe(*(str(deploy(w3, f"safe/{name}").address) for name in names))

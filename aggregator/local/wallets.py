"""Wallets of the demo's clients: externally owned accounts and Safes that trade like an institution does.

A wallet remembers the bytes it sent. When a reorganisation drops them, the client sends the same bytes again (`resend`), as real
clients' wallets do; nothing here has rights that a client would not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aggregator.errors import IsthmusError
from chains.contracts import typed
from chains.networks.network import Network
from chains.rpc import Rpc
from chains.rpc.errors import RpcError
from chains.signer import LocalSigner, TxFields, sign_transaction
from chains.types import Address, Call, address

MAX_FEE_WEI = 100 * 10**9
TIP_WEI = 10**9
GAS_MARGIN = 1.3


class WalletRefused(IsthmusError):
    """The network refused a client's transaction; `data` holds the revert data."""

    def __init__(self, text: str, data: str = "") -> None:
        super().__init__(text)
        self.data = data


@dataclass
class Wallet:
    """One key on one network: sends one transaction after the other and waits until each is mined."""

    rpc: Rpc
    network: Network
    key: bytes
    sent: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def signer(self) -> LocalSigner:
        return LocalSigner(self.key)

    @property
    def address(self) -> Address:
        return address(self.signer.address)

    async def send(self, call: Call) -> dict[str, Any]:
        """Send and wait for the receipt. Raises WalletRefused when the call reverts, in simulation or on chain."""
        async with self.lock:
            tx = {"from": self.address, "to": call.to, "data": "0x" + call.data.hex(), "value": hex(call.value)}
            try:
                gas = int(await self.rpc.call("eth_estimateGas", [tx]), 16)
            except RpcError as error:
                raise WalletRefused(f"{call.note or call.to}: {error.text}", str(error.data or "")) from error
            nonce = int(await self.rpc.call("eth_getTransactionCount", [self.address, "pending"]), 16)
            fields = TxFields(
                self.network.chain_id, nonce, TIP_WEI, MAX_FEE_WEI, int(gas * GAS_MARGIN), call.to, call.value, call.data
            )
            raw, tx_hash = sign_transaction(self.signer, fields)
            self.sent[tx_hash] = "0x" + raw.hex()
            await self.rpc.call("eth_sendRawTransaction", [self.sent[tx_hash]])
            receipt = await self._mined(tx_hash)
        if receipt["status"] != "0x1":
            raise WalletRefused(f"{call.note or call.to}: reverted on chain in {tx_hash}")
        return receipt

    async def _mined(self, tx_hash: str, timeout_s: float = 30.0) -> dict[str, Any]:
        for _ in range(int(timeout_s / 0.03)):
            receipt: dict[str, Any] | None = await self.rpc.call("eth_getTransactionReceipt", [tx_hash])
            if receipt:
                return receipt
            await asyncio.sleep(0.03)
        raise WalletRefused(f"{tx_hash} was not mined within {timeout_s} s on network {self.network.chain_id}")

    async def resend(self) -> list[str]:
        """Send again, in nonce order, every transaction that no longer has a receipt. Returns their hashes, mined again."""
        lost = []
        for tx_hash, raw in list(self.sent.items()):
            if await self.rpc.call("eth_getTransactionReceipt", [tx_hash]) is None:
                await self.rpc.call("eth_sendRawTransaction", [raw])
                lost.append(tx_hash)
        for tx_hash in lost:
            await self._mined(tx_hash)
        return lost


@dataclass
class SafeWallet:
    """A prime account: the owners' keys sign, owner 0's own wallet pays the gas."""

    payer: Wallet
    safe: Address
    owners: Sequence[LocalSigner]
    threshold: int

    async def nonce(self) -> int:
        """The Safe's own nonce now."""
        answer = await self.payer.rpc.call("eth_call", [{"to": self.safe, "data": "0xaffed0e0"}, "latest"])
        return int(answer, 16)

    async def transaction(self, calls: Sequence[Call]) -> Call:
        """The signed execTransaction of one call, or of several as one canonical batch."""
        if len(calls) == 1:
            to, value, data, operation = calls[0].to, calls[0].value, calls[0].data, 0
        else:
            to, value, operation = self.payer.network.protocols.safe.multi_send_call_only, 0, 1
            data = typed.encode_multi_send(tuple(calls))
        digest = typed.safe_tx_hash(self.payer.network.chain_id, self.safe, to, value, data, operation, await self.nonce())
        signatures = {s.address: s.sign_digest(digest) for s in self.owners[: self.threshold]}
        note = ", ".join(c.note for c in calls if c.note)
        return Call(self.safe, typed.encode_exec_transaction(to, value, data, operation, signatures), 0, note)

    async def execute(self, *calls: Call) -> dict[str, Any]:
        """Run calls as the Safe. Raises WalletRefused."""
        return await self.payer.send(await self.transaction(calls))

"""One class over the account API: decimal strings and atoms in and out, problems as exceptions.

Every POST that moves value takes an idempotency key: repeat a call with the same key and it answers the same, never twice.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import aiohttp


class ApiRefused(Exception):
    """The API answered with a problem. `type`, `title`, `detail`, `status` as in RFC 9457; `body` holds all members."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{body.get('title', 'refused')}: {body.get('detail', '')} (status {status})")
        self.status = status
        self.type = str(body.get("type", "about:blank"))
        self.body = body


class IsthmusClient:
    """A client of one deployment. Use as an async context manager; `key` is 'isk_<id>_<secret>'."""

    def __init__(self, base_url: str, key: str, *, timeout_s: float = 30.0) -> None:
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> IsthmusClient:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        idempotency_key: str = "",
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Any route. Raises ApiRefused for a problem answer."""
        if self._session is None:
            raise RuntimeError("use `async with IsthmusClient(...)`")
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        async with self._session.request(method, self._base + path, json=body, headers=headers, params=query) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            if answer.status >= 400:
                raise ApiRefused(answer.status, found)
            return found

    # ---- reading ------------------------------------------------------------------------------------------------------
    async def health(self) -> dict[str, Any]:
        """Networks and daemons: heads, finality, lag, what stands still and why."""
        return await self.request("GET", "/v1/health")

    async def accounts(self) -> dict[str, Any]:
        """Every account that the key sees, with the three numbers."""
        return await self.request("GET", "/v1/accounts")

    async def portfolio(self, account: str) -> dict[str, Any]:
        """Holdings and debts with block, age and state."""
        return await self.request("GET", f"/v1/accounts/{account}/portfolio")

    async def margin(self, account: str) -> dict[str, Any]:
        """The latest margin report."""
        return await self.request("GET", f"/v1/accounts/{account}/margin")

    async def explain(self, account: str, figure: str) -> dict[str, Any]:
        """Why a figure is what it is, in words."""
        return await self.request("GET", f"/v1/accounts/{account}/explain/{figure}")

    async def actions(self, account: str) -> dict[str, Any]:
        """What was decided and done, newest first."""
        return await self.request("GET", f"/v1/accounts/{account}/actions")

    # ---- client lifecycle (admin scope) ---------------------------------------------------------------------------------
    async def open_client(self, client: str, title: str) -> dict[str, Any]:
        """Open a margin account."""
        return await self.request("POST", "/v1/clients", {"client": client, "title": title})

    async def link_safe(self, client: str, chain_id: int, address: str) -> dict[str, Any]:
        """Link a prime account; refused unless custody is intact on chain."""
        body = {"chain_id": chain_id, "address": address}
        return await self.request("POST", f"/v1/clients/{client}/safes", body)

    async def set_mandate(self, client: str, version: int, mandate: dict[str, Any], signature: str) -> dict[str, Any]:
        """Store what the client allows the planner; signed (EIP-712) by an owner of one of its accounts."""
        body = {"version": version, "mandate": mandate, "signature": signature}
        return await self.request("POST", f"/v1/clients/{client}/mandate", body)

    # ---- tickets (ticket scope) -----------------------------------------------------------------------------------------
    async def withdrawal_ticket(
        self, account: str, chain_id: int, token: str, atoms: int, recipient: str, idempotency_key: str
    ) -> dict[str, Any]:
        """The engine's consent to pay `atoms` of `token` out to a pinned recipient. Refused when initial margin would break."""
        body = {"chain_id": chain_id, "token": token, "atoms": str(atoms), "recipient": recipient}
        return await self.request("POST", f"/v1/accounts/{account}/tickets/withdrawal", body, idempotency_key=idempotency_key)

    async def trade_ticket(self, account: str, chain_id: int, to: str, data: bytes, idempotency_key: str) -> dict[str, Any]:
        """The engine's consent to one exact call that raises risk."""
        body = {"chain_id": chain_id, "to": to, "value": "0", "data": "0x" + data.hex()}
        return await self.request("POST", f"/v1/accounts/{account}/tickets/trade", body, idempotency_key=idempotency_key)

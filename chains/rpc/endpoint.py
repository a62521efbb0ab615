"""One endpoint of a network: posts JSON-RPC, proves its chain id, keeps its own score.

The chain id is asked before the first real request and again after every transport failure, because another process may have taken
the port meanwhile. An endpoint never retries; the pool chooses what happens next. Scores are seconds: lower is better.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from chains.rpc.errors import AnswerInvalid, ForeignNetwork, RpcError
from chains.types import ChainId

Request = tuple[str, list[Any]]
_SMOOTHING = 0.2
_FAILURE_COST_S = 0.5
_HEADERS = {"content-type": "application/json"}
_THROTTLE_CODES = frozenset({-32005, -32029, 429})
_THROTTLE_WORDS = ("rate limit", "too many requests", "request limit", "capacity exceeded", "throttl")
_IDS = count(1)


class EndpointFailed(Exception):
    """Transport trouble: the pool tries another endpoint. Never leaves the pool."""


class Throttled(EndpointFailed):
    """The endpoint asks for patience: not before `after_s` seconds."""

    def __init__(self, text: str, after_s: float) -> None:
        super().__init__(text)
        self.after_s = after_s


@dataclass(slots=True)
class Score:
    """Smoothed latency, failures in a row, and when (loop time) the endpoint may be asked again."""

    latency_s: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    trouble: str = ""

    def rank(self) -> float:
        return self.latency_s + self.failures * _FAILURE_COST_S


def _throttled(code: int, text: str) -> bool:
    lower = text.lower()
    return code in _THROTTLE_CODES or any(word in lower for word in _THROTTLE_WORDS)


class Endpoint:
    """One URL of one network. `post` answers a list of results in the order of the requests."""

    def __init__(self, chain_id: ChainId, url: str, timeout_s: float) -> None:
        self.chain_id = chain_id
        self.url = url
        # Keys of hosted nodes stand in the path or before the host: only scheme, host and port are ever shown.
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self.score = Score()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._proven = False

    async def post(self, session: aiohttp.ClientSession, requests: list[Request]) -> list[Any]:
        """One HTTP request. Each item is a result or an RpcError. Raises EndpointFailed, Throttled or ForeignNetwork."""
        if not self._proven:
            await self._prove(session)
        return await self._scored(session, requests)

    async def _prove(self, session: aiohttp.ClientSession) -> None:
        (answer,) = await self._scored(session, [("eth_chainId", [])])
        if isinstance(answer, RpcError):
            raise EndpointFailed(f"{self.name}: {answer}")
        if int(str(answer), 16) != self.chain_id:
            self.score.trouble = f"{self.name} answers for chain id {int(str(answer), 16)}, want {self.chain_id}"
            raise ForeignNetwork(f"{self.score.trouble}: correct rpc_urls of network {self.chain_id}")
        self._proven = True

    async def _scored(self, session: aiohttp.ClientSession, requests: list[Request]) -> list[Any]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            answers = await self._send(session, requests)
        except Throttled as error:
            self.score.not_before = loop.time() + error.after_s
            self.score.trouble = str(error)
            raise
        except EndpointFailed as error:
            self._proven = False
            self.score.failures += 1
            self.score.not_before = loop.time() + min(0.05 * 2**self.score.failures, 5.0)
            self.score.trouble = str(error)
            raise
        taken = loop.time() - start
        old = self.score.latency_s
        self.score.latency_s = taken if old == 0.0 else old + _SMOOTHING * (taken - old)
        self.score.failures = 0
        return answers

    async def _send(self, session: aiohttp.ClientSession, requests: list[Request]) -> list[Any]:
        ids = [next(_IDS) for _ in requests]
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in zip(ids, requests, strict=True)]
        raw = json.dumps(body if len(body) > 1 else body[0], separators=(",", ":"))
        try:
            async with session.post(self.url, data=raw, headers=_HEADERS, timeout=self._timeout) as response:
                if response.status == 429:
                    raise Throttled(f"{self.name}: HTTP 429", _retry_after(response.headers.get("Retry-After")))
                text = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EndpointFailed(f"{self.name}: {type(error).__name__} {error}".rstrip()) from error
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise EndpointFailed(f"{self.name}: HTTP {status}, not JSON: {text[:80]!r}") from error
        return self._ordered(parsed if isinstance(parsed, list) else [parsed], ids, requests)

    def _ordered(self, answers: list[Any], ids: list[int], requests: list[Request]) -> list[Any]:
        """Answers by id in the order asked; a whole batch refused by one error object counts as that error for each item."""
        if len(answers) == 1 and len(ids) > 1 and answers[0].get("error"):
            answers = [{"id": i, "error": answers[0]["error"]} for i in ids]
        by_id = {a.get("id"): a for a in answers if isinstance(a, dict)}
        found: list[Any] = []
        for i, (method, _) in zip(ids, requests, strict=True):
            answer = by_id.get(i)
            if answer is None and len(ids) == 1 and len(answers) == 1 and answers[0].get("id") is None:
                answer = answers[0]  # an error before the request was parsed carries no id
            if answer is None:
                raise EndpointFailed(f"{self.name}: no answer to {method} in a batch of {len(ids)}")
            found.append(self._item(method, answer))
        return found

    def _item(self, method: str, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            if "result" not in answer:
                raise AnswerInvalid(f"{self.name}: {method} answered neither result nor error")
            return answer["result"]
        code, text = int(error.get("code", 0)), str(error.get("message", error))
        if _throttled(code, text):
            raise Throttled(f"{self.name}: {text}", 1.0)
        data = error.get("data")
        return RpcError(method, code, text, data if isinstance(data, str) else None)


def _retry_after(header: str | None) -> float:
    """Seconds to wait; the HTTP date form is answered with the default of one second."""
    return min(float(header), 30.0) if header and header.strip().isdigit() else 1.0

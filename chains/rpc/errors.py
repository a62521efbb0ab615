"""What can go wrong between us and a node. The whole tree is drawn in chains.errors."""

from __future__ import annotations

from chains.errors import ChainBroken, ChainRejected, ChainRetryable

REVERTED = 3  # JSON-RPC error code of an execution that reverted; its data is the revert data


class NodeUnavailable(ChainRetryable):
    """No endpoint of the network answered in time. Names the network and each endpoint's last trouble."""


class RpcError(ChainRejected):
    """A node understood the request and answered with an error: `code`, `text`, `data` (hex text or None), `method`."""

    def __init__(self, method: str, code: int, text: str, data: str | None = None) -> None:
        super().__init__(f"{method}: {text} (code {code})")
        self.method = method
        self.code = code
        self.text = text
        self.data = data

    def reverted(self) -> bool:
        """Whether the node ran the call and the contract reverted."""
        return self.code == REVERTED or "revert" in self.text.lower()


class ForeignNetwork(ChainBroken):
    """An endpoint answers for another chain id; correct rpc_urls of the network's file."""


class AnswerInvalid(ChainBroken):
    """A node's answer contradicts the question or itself (log of another block, a header without a hash)."""

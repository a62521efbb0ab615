"""Deploying and sending on a local anvil: link libraries, wait for the receipt in the same call, refuse a reverted transaction.

Only for anvil with automine: `eth_sendTransactionSync` answers with the receipt, so nothing is polled. The deployer is anvil's
first unlocked account; every other sender signs with its role's key. Fixed gas and price save two round trips per transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_account import Account
from eth_typing import ChecksumAddress
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction

from chains.devnet import artifacts, roles

GAS = 14_000_000
GAS_PRICE = 20 * 10**9
ZERO = "0x" + "00" * 20
MAX = 2**256 - 1
FAR = 2**40


class DeployFailed(RuntimeError):
    """A set-up transaction reverted or an endpoint is not the network it should be."""


def connect(url: str, chain_id: int) -> Web3:
    """Web3 on a local anvil with its first account as default sender. Raises DeployFailed when another network answers."""
    w3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}))
    if (found := w3.eth.chain_id) != chain_id:
        raise DeployFailed(f"{url} answers for chain id {found}, want {chain_id}; another node holds that port")
    w3.eth.default_account = w3.eth.accounts[0]
    return w3


def checksum(address: str) -> ChecksumAddress:
    return Web3.to_checksum_address(address)


def rpc(w3: Web3, method: str, *params: Any) -> Any:
    """Result of one raw JSON-RPC call. Raises DeployFailed with the node's own words."""
    answer: Mapping[str, Any] = w3.provider.make_request(method, list(params))  # type: ignore[arg-type]  # anvil's own methods
    if "error" in answer:
        raise DeployFailed(f"{method}: {answer['error']}")
    return answer["result"]


def _linked(artifact: Mapping[str, Any], libraries: Mapping[str, str]) -> str:
    code: str = artifact["bytecode"]
    for file in artifact["linkReferences"].values():
        for name, places in file.items():
            for place in places:
                start = 2 + 2 * place["start"]
                code = code[:start] + libraries[name][2:].lower() + code[start + 2 * place["length"] :]
    return code


def _mined(w3: Web3, transaction: dict[str, Any], what: str) -> Mapping[str, Any]:
    receipt: Mapping[str, Any] = rpc(w3, "eth_sendTransactionSync", transaction)
    return _accepted(receipt, what)


def _accepted(receipt: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    if int(receipt["status"], 16) != 1:
        raise DeployFailed(f"{what} reverted in transaction {receipt['transactionHash']}")
    return receipt


def at(w3: Web3, address: str, key: str) -> Contract:
    """The contract at `address` with the ABI of the artifact `key`."""
    return w3.eth.contract(address=checksum(address), abi=artifacts.load(key)["abi"])


def deploy(w3: Web3, key: str, *arguments: Any, libraries: Mapping[str, str] | None = None) -> Contract:
    """Deploy the artifact `key` from the default account and return it. Raises DeployFailed when the constructor reverts."""
    artifact = artifacts.load(key)
    factory = w3.eth.contract(abi=artifact["abi"], bytecode=_linked(artifact, libraries or {}))
    data = factory.constructor(*arguments).data_in_transaction
    transaction = {"from": w3.eth.default_account, "data": data, "gas": hex(GAS), "gasPrice": hex(GAS_PRICE)}
    receipt = _mined(w3, transaction, f"deployment of {key}")
    return at(w3, receipt["contractAddress"], key)


def send(w3: Web3, call: ContractFunction, role: str = "", value: int = 0) -> Mapping[str, Any]:
    """Send one call, from the deployer or signed by `role`, and return its raw receipt. Raises DeployFailed on revert."""
    sender = roles.address(role) if role else w3.eth.default_account
    if not isinstance(sender, str):
        raise DeployFailed("the connection has no default account; use lib.connect")
    transaction: dict[str, Any] = dict(call.build_transaction({
        "from": checksum(sender), "gas": GAS, "gasPrice": Web3.to_wei(20, "gwei"), "value": Web3.to_wei(value, "wei"),
        "nonce": w3.eth.get_transaction_count(checksum(sender), "pending"), "chainId": w3.eth.chain_id}))
    if role:
        raw = Account.sign_transaction(transaction, roles.key(role)).raw_transaction
        return _accepted(rpc(w3, "eth_sendRawTransactionSync", raw.to_0x_hex()), f"{call.fn_name} by {role}")
    fields = {k: hex(v) if isinstance(v, int) else v for k, v in transaction.items()}
    return _mined(w3, fields, str(call.fn_name))

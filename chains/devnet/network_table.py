"""The network file of a baked local network, as a nested table and as TOML text. Pure: addresses in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.devnet import layout, multicall, safe
from chains.devnet.layout import LocalNetwork
from chains.devnet.parts import Parts

HEADER = "# Made by `python3 -m chains.devnet.bake --write`; a test compares it with a bake. rpc_urls is replaced at run time.\n"
FEED_NAMES = {"eth_usd": "ETH", "usdc_usd": "USDC"}


def table(network: LocalNetwork, parts: Parts, own: Mapping[str, str]) -> dict[str, Any]:
    """The network file's content. `own` is the [protocols.isthmus] table, empty when own contracts are not deployed."""
    made: dict[str, Any] = {
        "chain_id": network.chain_id,
        "name": network.name,
        "title": f"Local network {network.name}",
        "kind": "local",
        "rpc_urls": [f"http://127.0.0.1:{network.rpc_port}"],
        "block_time_ms": network.block_time_ms,
        "native": {"asset": "ETH", "decimals": 18, "feed": "eth_usd"},
        "finality": {"depth_floor": network.finalized_depth, "lag_limit_ms": 30_000},
        "limits": {"logs_range": 1000, "max_fee_gwei": 200, "bump_bps": 1250, "confirm_blocks": 1},
        "mpor": {"detect_ms": 2000, "decide_ms": 500, "act_ms": 2000,
                 "finality_ms": network.finalized_depth * network.block_time_ms},
        "tokens": _tokens(parts),
        "feeds": {
            name: {"proxy": feed.proxy, "aggregator": feed.aggregator, "base": FEED_NAMES[name], "quote": "USD",
                   "decimals": layout.FEED_DECIMALS, "heartbeat_ms": layout.HEARTBEAT_MS, "deviation_bps": layout.DEVIATION_BPS}
            for name, feed in parts.feeds.items()
        },
        "protocols": _protocols(network, parts),
    }
    if own:
        made["protocols"]["isthmus"] = dict(own)
    return made


def _tokens(parts: Parts) -> dict[str, Any]:
    made: dict[str, Any] = {
        "usdc": {"address": parts.usdc, "decimals": 6, "asset": "USDC", "kind": "native", "feed": "usdc_usd"}}
    if parts.weth:
        made["weth"] = {"address": parts.weth, "decimals": 18, "asset": "ETH", "kind": "wrapped", "feed": "eth_usd"}
        made["hyp_usdc"] = {"address": parts.router, "decimals": 6, "asset": "USDC", "kind": "synthetic", "feed": "usdc_usd",
                            "bridge": "hyperlane"}
    return made


def _protocols(network: LocalNetwork, parts: Parts) -> dict[str, Any]:
    made: dict[str, Any] = {
        "multicall3": {"address": multicall.ADDRESS},
        "safe": {"version": safe.VERSION, "singleton": parts.safe.singleton, "proxy_factory": parts.safe.proxy_factory,
                 "multi_send_call_only": parts.safe.multi_send_call_only},
    }
    if parts.aave and parts.uniswap:
        aave, uniswap = parts.aave, parts.uniswap
        made["aave_v3"] = {
            "pool": aave.pool, "provider": aave.provider, "oracle": aave.oracle, "data_provider": aave.data_provider,
            "reserves": [
                {"token": name, "a_token": reserve.a_token, "variable_debt_token": reserve.variable_debt_token,
                 "ltv_bps": network.reserves[name].ltv_bps,
                 "liquidation_threshold_bps": network.reserves[name].liquidation_threshold_bps,
                 "liquidation_bonus_bps": network.reserves[name].liquidation_bonus_bps}
                for name, reserve in aave.reserves.items()
            ],
        }
        made["uniswap_v3"] = {
            "factory": uniswap.factory, "router": uniswap.router, "quoter": uniswap.quoter,
            "position_manager": uniswap.position_manager,
            "pools": [{"address": p.address, "token0": p.token0, "token1": p.token1, "fee": p.fee} for p in parts.pools],
        }
    hyperlane = parts.hyperlane
    made["hyperlane"] = {
        "mailbox": hyperlane.mailbox, "domain": hyperlane.domain, "merkle_tree_hook": hyperlane.merkle_tree_hook,
        "ism": hyperlane.ism, "validators": list(hyperlane.validators), "threshold": hyperlane.threshold,
        "routes": [{"token": "hyp_usdc" if parts.weth else "usdc", "router": parts.router,
                    "kind": "synthetic" if parts.weth else "collateral",
                    "destinations": [c for c in layout.NETWORKS if c != network.chain_id]}],
    }
    return made


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return str(value)


def text(content: Mapping[str, Any], path: str = "") -> str:
    """`content` as TOML: plain values first, then tables, lists of tables last."""
    lines: list[str] = []
    plain = {k: v for k, v in content.items() if not _nested(v)}
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in content.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            inner = text(value, name)
            own = any(not _nested(v) for v in value.values())
            lines.append((f"\n[{name}]\n" if own else "") + inner.rstrip("\n") if own else "\n" + inner.strip("\n"))
        elif _nested(value):
            lines += [f"\n[[{name}]]\n{text(row, name).rstrip()}" for row in value]
    return (HEADER if not path else "") + "\n".join(lines) + "\n"


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))

"""A small world for tests of the pure core: three networks, and short ways to say events and holdings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from aggregator.ledger.book import AddressBook, book_of
from aggregator.market.prices import Price, Snapshot
from aggregator.portfolio.portfolio import AsOf, Holding, HoldingState, Portfolio, Side, VenueTerms, View
from chains.networks.network import Network
from chains.types import Address, BlockRef, ChainId, Cut, EventRef, Hash

A, B, C = ChainId(71001), ChainId(71002), ChainId(71003)
CHAINS = (A, B, C)
ALICE, BOB, STRANGER, LENDER, LIQUIDATOR = (Address("0x" + f"{n:02x}" * 20) for n in (0xA1, 0xB0, 0xEE, 0x1E, 0xBD))
USDC, WETH, HYP, A_WETH, A_USDC, D_WETH, D_USDC, POOL, LINE, ROUTE = (
    Address("0x" + f"{n:040x}") for n in (0xC0, 0xE0, 0xF0, 0xAE, 0xAC, 0xDE, 0xDC, 0x99, 0x71, 0x70)
)
ETHER, DOLLAR = 10**18, 10**6
RAY = 10**27
NOW = 1_700_000_000
_ZERO = "0x" + "00" * 20
_OWN = ("factory", "rule_book", "guard", "module", "handler", "installer", "owner_lock", "planner_lock", "guardian")


def network(chain_id: ChainId) -> Network:
    """One network: A and B with a lending pool and the synthetic dollar, C with native dollars only."""
    feed = {"proxy": _ZERO, "aggregator": _ZERO, "heartbeat_ms": 600_000, "deviation_bps": 50}
    tokens: dict[str, object] = {"usdc": {"address": USDC, "decimals": 6, "asset": "USDC", "kind": "native", "feed": "usdc_usd"}}
    protocols: dict[str, object] = {
        "multicall3": {"address": _ZERO},
        "safe": {"version": "1.4.1", "singleton": _ZERO, "proxy_factory": _ZERO, "multi_send_call_only": _ZERO},
        "isthmus": dict.fromkeys(_OWN, _ZERO) | {"deployment": "test", "credit_line": LINE},
    }  # fmt: skip
    if chain_id != C:
        tokens["weth"] = {"address": WETH, "decimals": 18, "asset": "ETH", "kind": "wrapped", "feed": "eth_usd"}
        tokens["hyp_usdc"] = {
            "address": HYP, "decimals": 6, "asset": "USDC", "kind": "synthetic", "feed": "usdc_usd", "bridge": "hyperlane",
        }  # fmt: skip
        protocols["aave_v3"] = {
            "pool": POOL, "provider": _ZERO, "oracle": _ZERO, "data_provider": _ZERO,
            "reserves": [
                {"token": "weth", "a_token": A_WETH, "variable_debt_token": D_WETH, "ltv_bps": 8000,
                 "liquidation_threshold_bps": 8250, "liquidation_bonus_bps": 500},
                {"token": "usdc", "a_token": A_USDC, "variable_debt_token": D_USDC, "ltv_bps": 7700,
                 "liquidation_threshold_bps": 8000, "liquidation_bonus_bps": 450},
            ],
        }  # fmt: skip
    return Network.model_validate({
        "chain_id": chain_id, "name": "ABC"[chain_id - A], "title": "test", "kind": "local", "block_time_ms": 500,
        "native": {"asset": "ETH", "decimals": 18, "feed": "eth_usd"},
        "finality": {"depth_floor": 4, "lag_limit_ms": 30_000},
        "limits": {"logs_range": 1000, "max_fee_gwei": 200, "bump_bps": 1250, "confirm_blocks": 1},
        "mpor": {"detect_ms": 0, "decide_ms": 0, "act_ms": 0, "finality_ms": 0},
        "tokens": tokens, "feeds": {"eth_usd": {**feed, "base": "ETH"}, "usdc_usd": {**feed, "base": "USDC"}},
        "protocols": protocols,
    })  # fmt: skip


NETWORKS: Mapping[int, Network] = {c: network(c) for c in CHAINS}
SAFES = {(int(c), safe): client for c in CHAINS for safe, client in ((ALICE, "alice"), (BOB, "bob"))}
BOOK: AddressBook = book_of(NETWORKS, SAFES)


def hash_of(text: str) -> Hash:
    return Hash("0x" + text.encode().hex().rjust(64, "0")[-64:])


def ref(chain_id: int = A, block: int = 10, log: int = 0, tx: str = "tx", fork: str = "") -> EventRef:
    return EventRef(ChainId(chain_id), block, hash_of(f"{chain_id}/{block}{fork}"), log, hash_of(tx))


def block(chain_id: int, number: int = 10, timestamp: int = NOW) -> BlockRef:
    return BlockRef(ChainId(chain_id), number, hash_of(f"{chain_id}/{number}"), hash_of(f"{chain_id}/{number - 1}"), timestamp)


def as_of(timestamp: int = NOW, number: int = 10) -> AsOf:
    return AsOf(Cut({c: block(c, number, timestamp) for c in CHAINS}), "market", "parameters")


def market(
    eth: str | Decimal = "2000", usdc: str | Decimal = "1", age: int = 0, without: Iterable[tuple[int, str]] = ()
) -> Snapshot:
    """Fresh prices on all networks but those in `without`; `age` seconds old."""
    prices = {}
    for c in CHAINS:
        for feed, asset, value in (("eth_usd", "ETH", eth), ("usdc_usd", "USDC", usdc)):
            if (int(c), feed) not in set(without):
                prices[(int(c), feed)] = Price(int(c), feed, asset, Decimal(value), NOW - age, NOW, 600, 10)
    return Snapshot(prices)


def holding(
    asset: str = "ETH", quantity: str | int | Decimal = 1, chain_id: int = A, side: Side = Side.ASSET, place: str = "wallet",
    wrapper: str = "wrapped", bridge: str = "", state: HoldingState = HoldingState.FINAL, safe: str = ALICE,
) -> Holding:  # fmt: skip
    """One holding; quantity in whole units of the asset."""
    decimals = 18 if asset == "ETH" else 6
    share = {("ETH", True): A_WETH, ("USDC", True): A_USDC, ("ETH", False): D_WETH, ("USDC", False): D_USDC}
    in_pool = place == "aave_v3"
    plain = HYP if wrapper == "synthetic" else WETH if asset == "ETH" else USDC
    token = share[(asset, side is Side.ASSET)] if in_pool else plain
    return Holding(
        asset=asset, token=f"{chain_id}:{token}", chain_id=chain_id, place=place,
        position=f"{chain_id}:{place}:{safe}" if place in ("aave_v3", "credit_line") else "", side=side,
        atoms=int(Decimal(quantity) * 10**decimals), decimals=decimals, feed="eth_usd" if asset == "ETH" else "usdc_usd",
        wrapper=wrapper if asset == "ETH" or wrapper == "synthetic" else "native", bridge=bridge, state=state,
    )  # fmt: skip


def transit(quantity: str | int = 1, message: str = "m1", side: Side = Side.ASSET) -> Holding:
    return Holding("USDC", "asset:USDC:6", 0, f"hyperlane:{message}", "", side, int(Decimal(quantity) * DOLLAR), 6, "", "native",
                   "hyperlane", HoldingState.IN_TRANSIT)  # fmt: skip


TERMS = tuple(
    VenueTerms(int(c), "aave_v3", f"{c}:{token}", ltv, threshold, bonus)
    for c in (A, B) for token, ltv, threshold, bonus in ((A_WETH, 8000, 8250, 10_500), (A_USDC, 7700, 8000, 10_450))
)  # fmt: skip


def portfolio(*holdings: Holding, custody_intact: bool = True, view: View = View.HEAD, client: str = "alice") -> Portfolio:
    safes = tuple((int(c), str(ALICE)) for c in CHAINS)
    return Portfolio(client, view, as_of(), holdings, safes, TERMS, custody_intact)

"""One network is one file: loads and checks `chains/networks/<chain_id>.toml`.

Every address of a network stands in its file and nowhere else. Unknown and missing fields are refused by name. Addresses are
kept lower case. `load_all` never mixes two files with one chain id.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from chains.types import Address, ChainId, address

FOLDER = Path(__file__).parent
Hex20 = Annotated[Address, AfterValidator(address)]


class NetworkInvalid(ValueError):
    """A network file is wrong; the message names file, field and what is wanted."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Native(_Part):
    asset: str
    decimals: int = 18
    feed: str


class TokenInfo(_Part):
    """`asset` is the canonical asset; `kind` native|wrapped|synthetic; `bridge` names who backs a synthetic."""

    address: Hex20
    decimals: int = Field(ge=0, le=36)
    asset: str
    kind: Literal["native", "wrapped", "synthetic"]
    feed: str
    bridge: str | None = None


class Feed(_Part):
    proxy: Hex20
    aggregator: Hex20 | None = None
    base: str
    quote: str = "USD"
    decimals: int = 8
    heartbeat_ms: int = Field(gt=0)
    deviation_bps: int = Field(ge=0)


class Finality(_Part):
    depth_floor: int = Field(ge=0)
    lag_limit_ms: int = Field(gt=0)


class Limits(_Part):
    logs_range: int = Field(gt=0)
    max_fee_gwei: int = Field(gt=0)
    bump_bps: int = Field(ge=1000)
    confirm_blocks: int = Field(ge=0)


class Mpor(_Part):
    """Margin period of risk of this network: detect + decide + act + finality, milliseconds."""

    detect_ms: int
    decide_ms: int
    act_ms: int
    finality_ms: int


class Multicall3(_Part):
    address: Hex20


class SafeParts(_Part):
    version: str
    singleton: Hex20
    proxy_factory: Hex20
    multi_send_call_only: Hex20


class AaveReserve(_Part):
    token: str
    a_token: Hex20
    variable_debt_token: Hex20
    ltv_bps: int
    liquidation_threshold_bps: int
    liquidation_bonus_bps: int


class AaveV3(_Part):
    pool: Hex20
    provider: Hex20
    oracle: Hex20
    data_provider: Hex20
    reserves: tuple[AaveReserve, ...]


class UniswapPool(_Part):
    address: Hex20
    token0: str
    token1: str
    fee: int


class UniswapV3(_Part):
    factory: Hex20
    router: Hex20
    quoter: Hex20
    position_manager: Hex20
    pools: tuple[UniswapPool, ...] = ()


class HyperlaneRoute(_Part):
    token: str
    router: Hex20
    kind: Literal["collateral", "synthetic"]
    destinations: tuple[int, ...]


class Hyperlane(_Part):
    mailbox: Hex20
    domain: int
    merkle_tree_hook: Hex20 | None = None
    ism: Hex20 | None = None
    validators: tuple[Hex20, ...] = ()
    threshold: int = 0
    routes: tuple[HyperlaneRoute, ...] = ()


class OwnContracts(_Part):
    deployment: str
    factory: Hex20
    rule_book: Hex20
    guard: Hex20
    module: Hex20
    handler: Hex20
    installer: Hex20
    credit_line: Hex20
    owner_lock: Hex20
    planner_lock: Hex20
    guardian: Hex20


class Protocols(_Part):
    multicall3: Multicall3
    safe: SafeParts
    aave_v3: AaveV3 | None = None
    uniswap_v3: UniswapV3 | None = None
    hyperlane: Hyperlane | None = None
    isthmus: OwnContracts | None = None


class Network(_Part):
    chain_id: ChainId
    name: str
    title: str
    kind: Literal["local", "production"]
    rpc_urls: tuple[str, ...] = ()
    block_time_ms: int = Field(gt=0)
    native: Native
    finality: Finality
    limits: Limits
    mpor: Mpor
    tokens: dict[str, TokenInfo]
    feeds: dict[str, Feed]
    protocols: Protocols

    def token_at(self, where: Address) -> tuple[str, TokenInfo] | None:
        """(name, token) of the token contract at `where`, or None."""
        return next(((n, t) for n, t in self.tokens.items() if t.address == where), None)


def _names_exist(network: Network, path: Path) -> None:
    wanted: list[tuple[str, str, Mapping[str, object]]]
    wanted = [(f"tokens.{n}.feed", t.feed, network.feeds) for n, t in network.tokens.items()]
    wanted.append(("native.feed", network.native.feed, network.feeds))
    tokens: dict[str, object] = dict(network.tokens)
    if network.protocols.aave_v3:
        wanted += [("protocols.aave_v3.reserves.token", r.token, tokens) for r in network.protocols.aave_v3.reserves]
    if network.protocols.uniswap_v3:
        for pool in network.protocols.uniswap_v3.pools:
            wanted += [("protocols.uniswap_v3.pools.token", t, tokens) for t in (pool.token0, pool.token1)]
    if network.protocols.hyperlane:
        wanted += [("protocols.hyperlane.routes.token", r.token, tokens) for r in network.protocols.hyperlane.routes]
    for field, name, known in wanted:
        if name not in known:
            raise NetworkInvalid(f"{path.name}: {field} = {name!r} is not defined; add it or use one of {sorted(known)}")


def load(path: Path) -> Network:
    """Read one network file. Raises NetworkInvalid naming the file and the field."""
    try:
        network = Network.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise NetworkInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise NetworkInvalid(f"{path.name}: not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise NetworkInvalid(f"{path.name}: " + "; ".join(lines)) from error
    if path.stem != str(network.chain_id):
        raise NetworkInvalid(f"{path.name}: chain_id = {network.chain_id} does not match the file name; rename one of them")
    _names_exist(network, path)
    return network


def load_many(chain_ids: tuple[int, ...], folder: Path = FOLDER) -> dict[ChainId, Network]:
    """Networks by chain id, in the given order. Raises NetworkInvalid for an id that has no file."""
    return {ChainId(c): load(folder / f"{c}.toml") for c in chain_ids}

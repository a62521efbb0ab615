"""Aave v3: supply and debt as scaled shares, and the venue's own arithmetic, exact to the atom.

Pure. A share balance changes by rayDiv(amount, index), where the amount is the event's value less (Mint) or plus (Burn) the
interest that the event reports beside it; a repayment or withdrawal smaller than that interest is told as a Mint whose amount
is negative. BalanceTransfer carries shares already. ERC-20 Transfers of aTokens and debt tokens are not decoded: they count
interest as movement. Verified against @aave/core-v3 1.19.3; a release that rounds otherwise shows as drift of single atoms
and needs a file of its own.
Units: indexes and yearly rates in ray (1e27), prices in the oracle's base currency, health factor in wad (1e18).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chains import abi
from chains.actions import AnyAction, Borrow, Repay, Supply, Withdraw
from chains.decoding import Decoder, Encoder, decode_with, shape, topics
from chains.errors import ActionUnsupported
from chains.events import AnyEvent, Borrowed, IndexUpdated, Liquidated, Repaid, Supplied, Withdrawn
from chains.networks.network import AaveV3, Network
from chains.protocols.erc20 import uint_answer
from chains.types import Address, Call, Log, Read, Token

NAME = "aave_v3"
MINT = "Mint(address,address,uint256,uint256,uint256)"
BURN = "Burn(address,address,uint256,uint256,uint256)"
BALANCE_TRANSFER = "BalanceTransfer(address,address,uint256,uint256)"
RESERVE_DATA_UPDATED = "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)"
LIQUIDATION_CALL = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
TOPICS = topics(MINT, BURN, BALANCE_TRANSFER, RESERVE_DATA_UPDATED, LIQUIDATION_CALL)

RAY = 10**27
WAD = 10**18
YEAR_S = 31_536_000
ALL_BPS = 10_000
NO_DEBT = abi.MAX_UINT256
VARIABLE_RATE = 2

# --- arithmetic ----------------------------------------------------------------------------------------------------


def ray_mul(a: int, b: int) -> int:
    """a * b / 1e27, half up (WadRayMath)."""
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    """a * 1e27 / b, half up (WadRayMath)."""
    return (a * RAY + b // 2) // b


def supply_index_at(index: int, rate: int, last_update: int, timestamp: int) -> int:
    """Supply index at a block's time: linear interest since `last_update` (MathUtils.calculateLinearInterest). Times in seconds."""
    if timestamp == last_update:
        return index
    return ray_mul(RAY + rate * (timestamp - last_update) // YEAR_S, index)


def debt_index_at(index: int, rate: int, last_update: int, timestamp: int) -> int:
    """Variable debt index at a block's time: three binomial terms of compound interest (MathUtils.calculateCompoundedInterest)."""
    seconds = timestamp - last_update
    if seconds == 0:
        return index
    power_two = ray_mul(rate, rate) // (YEAR_S * YEAR_S)
    power_three = ray_mul(power_two, rate) // YEAR_S
    second = seconds * (seconds - 1) * power_two // 2
    third = seconds * (seconds - 1) * max(seconds - 2, 0) * power_three // 6
    return ray_mul(RAY + rate * seconds // YEAR_S + second + third, index)


@dataclass(frozen=True, slots=True)
class Holding:
    """One reserve of one account: scaled shares, index as of the block, oracle price (base currency per whole token), decimals.

    `threshold_bps` is the liquidation threshold; a debt does not use it. List only reserves that are enabled as collateral.
    """

    shares: int
    index: int
    price: int
    decimals: int
    threshold_bps: int = 0

    def base(self) -> int:
        """Value in base currency, rounded down once, as GenericLogic does."""
        unit: int = 10**self.decimals
        return ray_mul(self.shares, self.index) * self.price // unit


@dataclass(frozen=True, slots=True)
class AccountData:
    """As getUserAccountData tells it: base currency values, average threshold, health factor in wad (NO_DEBT without debt)."""

    collateral_base: int
    debt_base: int
    threshold_bps: int
    health_factor: int


def account_data(collaterals: Sequence[Holding], debts: Sequence[Holding]) -> AccountData:
    """GenericLogic.calculateUserAccountData without e-mode and stable debt, to the last digit."""
    values = [h.base() for h in collaterals]
    collateral, debt = sum(values), sum(h.base() for h in debts)
    weighted = sum(v * h.threshold_bps for v, h in zip(values, collaterals, strict=True))
    threshold = weighted // collateral if collateral else 0
    if debt == 0:
        return AccountData(collateral, 0, threshold, NO_DEBT)
    counted = (collateral * threshold + ALL_BPS // 2) // ALL_BPS
    return AccountData(collateral, debt, threshold, (counted * WAD + debt // 2) // debt)


def health_factor(collaterals: Sequence[Holding], debts: Sequence[Holding]) -> int:
    """Health factor in wad, below 1e18 liquidators may act; NO_DEBT without debt."""
    return account_data(collaterals, debts).health_factor


# --- logs ----------------------------------------------------------------------------------------------------------


def watched(network: Network) -> frozenset[Address]:
    """The pool, its aTokens and variable debt tokens."""
    aave = network.protocols.aave_v3
    if aave is None:
        return frozenset()
    return frozenset((aave.pool, *(a for r in aave.reserves for a in (r.a_token, r.variable_debt_token))))


@dataclass(frozen=True, slots=True)
class _ShareToken:
    """One aToken or debt token: which events its growth and shrinking are."""

    pool: Address
    reserve: Address
    grew: type[Supplied] | type[Borrowed]
    fell: type[Withdrawn] | type[Repaid]

    def changed(self, log: Log, holder: Address, amount: int, index: int) -> Iterable[AnyEvent]:
        """The event of a signed amount of atoms at `index`; no event for zero, which only reports interest."""
        if amount == 0:
            return ()
        kind = self.grew if amount > 0 else self.fell
        return (kind(log.ref, NAME, self.pool, self.reserve, holder, ray_div(abs(amount), index), abs(amount)),)

    def mint(self, log: Log) -> Iterable[AnyEvent]:
        shape(log, 2, 3)
        value, interest, index = (abi.uint_at(log.data, i) for i in range(3))
        return self.changed(log, abi.to_address(log.topics[2]), value - interest, index)

    def burn(self, log: Log) -> Iterable[AnyEvent]:
        shape(log, 2, 3)
        value, interest, index = (abi.uint_at(log.data, i) for i in range(3))
        return self.changed(log, abi.to_address(log.topics[1]), -(value + interest), index)

    def transferred(self, log: Log) -> Iterable[AnyEvent]:
        shape(log, 2, 2)
        shares, index = abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
        if shares == 0:
            return ()
        atoms = ray_mul(shares, index)
        source, destination = (abi.to_address(t) for t in log.topics[1:])
        return (
            self.fell(log.ref, NAME, self.pool, self.reserve, source, shares, atoms),
            self.grew(log.ref, NAME, self.pool, self.reserve, destination, shares, atoms),
        )

    def decoders(self) -> dict[bytes, Decoder]:
        return {
            abi.topic(MINT): self.mint,
            abi.topic(BURN): self.burn,
            abi.topic(BALANCE_TRANSFER): self.transferred,
        }


def _index_updated(log: Log) -> Iterable[AnyEvent]:
    shape(log, 1, 5)
    supply_rate, _, debt_rate, supply_index, debt_index = (abi.uint_at(log.data, i) for i in range(5))
    reserve = abi.to_address(log.topics[1])
    return (IndexUpdated(log.ref, NAME, log.address, reserve, supply_index, debt_index, supply_rate, debt_rate),)


def _liquidated(log: Log) -> Iterable[AnyEvent]:
    shape(log, 3, 4)
    collateral, debt, holder = (abi.to_address(t) for t in log.topics[1:])
    debt_atoms, collateral_atoms = abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
    liquidator = abi.address_at(log.data, 2)
    return (Liquidated(log.ref, NAME, log.address, holder, liquidator, collateral, debt, debt_atoms, collateral_atoms),)


_POOL: dict[bytes, Decoder] = {abi.topic(RESERVE_DATA_UPDATED): _index_updated, abi.topic(LIQUIDATION_CALL): _liquidated}


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Share changes of every holder, index updates and liquidations. Raises MalformedLog."""
    aave = network.protocols.aave_v3
    if aave is None:
        return ()
    tables = {aave.pool: _POOL}
    for reserve in aave.reserves:
        underlying = network.tokens[reserve.token].address
        tables[reserve.a_token] = _ShareToken(aave.pool, underlying, Supplied, Withdrawn).decoders()
        tables[reserve.variable_debt_token] = _ShareToken(aave.pool, underlying, Borrowed, Repaid).decoders()
    found: list[AnyEvent] = []
    for log in logs:
        if log.address in tables:
            found += decode_with(tables[log.address], (log,), None)
    return tuple(found)


# --- calls and reads -----------------------------------------------------------------------------------------------


def _pool(network: Network) -> AaveV3:
    if network.protocols.aave_v3 is None:
        raise ActionUnsupported(f"network {network.chain_id} has no [protocols.aave_v3] in its file")
    return network.protocols.aave_v3


def encode_supply(network: Network, action: Supply) -> Call:
    """Supply on behalf of the account itself; the pool must be approved."""
    words = (action.token, action.atoms, action.account, 0)
    data = abi.call_data("supply(address,uint256,address,uint16)", *words)
    return Call(_pool(network).pool, data, note=f"aave_v3 supply {action.atoms} of {action.token}")


def encode_withdraw(network: Network, action: Withdraw) -> Call:
    """Withdraw to the account itself; 2**256-1 withdraws everything."""
    data = abi.call_data("withdraw(address,uint256,address)", action.token, action.atoms, action.account)
    return Call(_pool(network).pool, data, note=f"aave_v3 withdraw {action.atoms} of {action.token}")


def encode_borrow(network: Network, action: Borrow) -> Call:
    """Borrow at the variable rate on the account's own debt."""
    words = (action.token, action.atoms, VARIABLE_RATE, 0, action.account)
    data = abi.call_data("borrow(address,uint256,uint256,uint16,address)", *words)
    return Call(_pool(network).pool, data, note=f"aave_v3 borrow {action.atoms} of {action.token}")


def encode_repay(network: Network, action: Repay) -> Call:
    """Repay the account's own variable debt; 2**256-1 repays everything; the pool must be approved."""
    words = (action.token, action.atoms, VARIABLE_RATE, action.account)
    data = abi.call_data("repay(address,uint256,uint256,address)", *words)
    return Call(_pool(network).pool, data, note=f"aave_v3 repay {action.atoms} of {action.token}")


ENCODERS: dict[type[AnyAction], Encoder] = {
    Supply: encode_supply,
    Withdraw: encode_withdraw,
    Borrow: encode_borrow,
    Repay: encode_repay,
}


def _shares_read(network: Network, safe: Address, token: Address, kind: str, sign: int) -> Read:
    call = Call(token, abi.call_data("scaledBalanceOf(address)", safe))
    return Read(NAME, kind, Token(network.chain_id, token).key(), call, uint_answer, sign)


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Scaled supply and scaled variable debt of every reserve."""
    aave = network.protocols.aave_v3
    if aave is None:
        return ()
    supply = [_shares_read(network, safe, r.a_token, "position", 1) for r in aave.reserves]
    debt = [_shares_read(network, safe, r.variable_debt_token, "debt", -1) for r in aave.reserves]
    return (*supply, *debt)

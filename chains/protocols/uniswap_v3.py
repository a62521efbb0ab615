"""Uniswap v3: trades of the listed pools, and exact-input swaps through the router.

Pure. What a swap moves between accounts is told by the tokens' own Transfers; Swapped tells the market: price and depth of
the pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chains import abi
from chains.actions import AnyAction, Swap
from chains.decoding import Encoder, decode_with, shape, topics
from chains.errors import ActionUnsupported
from chains.events import AnyEvent, Swapped
from chains.networks.network import Network
from chains.types import Address, Call, Log, Read

NAME = "uniswap_v3"
SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24)"
TOPICS = topics(SWAP)
EXACT_INPUT_SINGLE = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
# The account's own deadline binds: the module and the ticket check it on chain before the router is called.
NO_DEADLINE = abi.MAX_UINT256


def watched(network: Network) -> frozenset[Address]:
    """The listed pools."""
    uniswap = network.protocols.uniswap_v3
    return frozenset(p.address for p in uniswap.pools) if uniswap else frozenset()


def _swapped(log: Log) -> Iterable[AnyEvent]:
    shape(log, 2, 5)
    amount0, amount1 = abi.int_at(log.data, 0), abi.int_at(log.data, 1)
    price, liquidity, tick = abi.uint_at(log.data, 2), abi.uint_at(log.data, 3), abi.int_at(log.data, 4)
    return (Swapped(log.ref, log.address, amount0, amount1, price, liquidity, tick),)


_DECODERS = {abi.topic(SWAP): _swapped}


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Swapped for every trade of a listed pool. Raises MalformedLog."""
    return decode_with(_DECODERS, logs, watched(network))


def encode_swap(network: Network, action: Swap) -> Call:
    """Sell exactly `atoms`, proceeds to the account itself; the router must be approved."""
    uniswap = network.protocols.uniswap_v3
    if uniswap is None:
        raise ActionUnsupported(f"network {network.chain_id} has no [protocols.uniswap_v3] in its file")
    words = (action.token_in, action.token_out, action.fee, action.account, NO_DEADLINE, action.atoms, action.minimum_out, 0)
    note = f"uniswap_v3 sell {action.atoms} of {action.token_in} for {action.minimum_out} of {action.token_out}"
    return Call(uniswap.router, abi.call_data(EXACT_INPUT_SINGLE, *words), note=note)


ENCODERS: dict[type[AnyAction], Encoder] = {Swap: encode_swap}


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Nothing: traded tokens lie in the wallet."""
    return ()

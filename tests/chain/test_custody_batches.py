"""Batches through MultiSendCallOnly: only the canonical encoding is read, and what passes is what runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from chains.contracts import typed
from chains.types import ZERO_ADDRESS, Address, Call, address
from tests.chain.custody_calls import ETHER, call_data, supply_data
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

MUTANTS = 400
SEED = 7


def packed(operation: int, to: Address, data: bytes, value: int = 0) -> bytes:
    """One item as MultiSend reads it."""
    return bytes([operation]) + bytes.fromhex(to[2:]) + value.to_bytes(32, "big") + len(data).to_bytes(32, "big") + data


def batch_of(items: bytes) -> bytes:
    return call_data("multiSend(bytes)", items)


def test_batch__one_bad_item__refuses_all(world: World) -> None:
    good = Call(world.pool, supply_data(world, "weth", ETHER))
    bad = Call(world.usdc, call_data("transfer(address,uint256)", world.stranger, 1))
    assert world.owner_reason(world.batch, typed.encode_multi_send([good, bad]), operation=1) == "NotListed"
    assert world.owner_reason(world.batch, typed.encode_multi_send([good, good]), operation=1) == "PASSED"


def test_batch__zero_address_or_the_account_itself__refused(world: World) -> None:
    inner = call_data("setGuard(address)", ZERO_ADDRESS)
    for to, wanted in ((ZERO_ADDRESS, "MalformedBatch"), (world.safe, "NotListed")):
        assert world.owner_reason(world.batch, batch_of(packed(0, to, inner)), operation=1) == wanted


def test_batch__item_by_delegatecall__refused(world: World) -> None:
    items = packed(1, world.pool, supply_data(world, "weth", ETHER))
    assert world.owner_reason(world.batch, batch_of(items), operation=1) == "MalformedBatch"


def test_batch__odd_encoding__refused(world: World) -> None:
    plain = typed.encode_multi_send([Call(world.pool, supply_data(world, "weth", ETHER))])
    shifted = plain[:4] + (64).to_bytes(32, "big") + plain[36:] + bytes(32)
    for data in (shifted, plain + bytes(32), plain[:-1], plain[:60], b"", plain[:36] + b"\xff" * 32 + plain[68:]):
        assert world.owner_reason(world.batch, data, operation=1) == "MalformedBatch"


def mutants(world: World, draw: random.Random) -> Iterator[bytes]:
    """Batches of listed and unlisted items, most of them damaged in one or two places."""
    good = supply_data(world, "weth", ETHER)
    for _ in range(MUTANTS):
        items = [(0, world.pool, good), (0, world.usdc, call_data("approve(address,uint256)", world.pool, draw.randrange(9))),
                 (0, world.usdc, call_data("transfer(address,uint256)", world.stranger, 1)), (0, world.safe, b""),
                 (0, world.pool, good + bytes(draw.randrange(33)))]
        chosen = [items[min(4, int(draw.expovariate(0.8)))] for _ in range(draw.randint(0, 4))]
        data = bytearray(batch_of(b"".join(packed(*item) for item in chosen)))
        for _ in range(draw.choice([0, 1, 1, 2])):
            _damage(data, draw, len(good))
        yield bytes(data)


def _damage(data: bytearray, draw: random.Random, size: int) -> None:
    spots = [draw.randrange(4, 68), 68, draw.randrange(68, 153), 153 + size + draw.randrange(85), draw.randrange(4, len(data))]
    spot = draw.choice([*spots, len(data) - 1]) % len(data)
    kind = draw.randrange(5)
    if kind == 0:
        data[spot] = draw.choice([0, 1, 32, 64, 85, 132, 255, draw.randrange(256)])
    elif kind == 1:
        data[spot] ^= 1 << draw.randrange(8)
    elif kind == 2:
        del data[spot : spot + draw.choice([1, 20, 32])]
    elif kind == 3:
        data[spot:spot] = bytes(draw.choice([1, 20, 32]))
    else:
        data += bytes(draw.randrange(40))


def admitted(world: World, to: Address, value: int, data: bytes, operation: int) -> bool:
    """Does the guard admit this call of the account?"""
    kinds = "address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes,address"
    arguments = [to, value, data, operation, 0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS, b"", ZERO_ADDRESS]
    inner = "0x" + call_data(f"checkTransaction({kinds})", *arguments).hex()
    return world.revert_data({"from": world.safe, "to": world.own.guard, "data": inner}) is None


def ran(world: World, trace: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The calls that the batch library really made, wherever it ran."""
    if trace["type"] == "DELEGATECALL" and trace["to"].lower() == world.batch.lower():
        yield from trace.get("calls", ())
    for inner in trace.get("calls", ()):
        yield from ran(world, inner)


def test_batch__seeded_mutants__run_nothing_but_admitted_calls(world: World) -> None:
    passed = calls = 0
    for data in mutants(world, random.Random(SEED)):
        if not admitted(world, world.batch, 0, data, 1):
            continue
        passed += 1
        sent = {"from": world.stranger, "to": world.safe, "data": "0x" + world.exec_data(world.batch, data, operation=1).hex(),
                "gas": hex(5_000_000)}
        trace = world.rpc("debug_traceCall", sent, "latest", {"tracer": "callTracer"})
        for frame in ran(world, trace):
            calls += 1
            value = int(frame.get("value", "0x0"), 16)
            assert admitted(world, address(frame["to"]), value, bytes.fromhex(frame["input"][2:]), 0), data.hex()
    assert passed > MUTANTS // 10 and calls > MUTANTS // 10

"""One real prime account does everything; the decoded events, added up, equal what the network says of it, atom for atom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chains import events, follower, protocols
from chains.actions import AnyAction, Bridge, Repay, RepayLine, Supply, Swap, Withdraw
from chains.protocols import hyperlane, isthmus
from chains.rpc import Rpc, reads
from chains.types import ZERO_ADDRESS, Address, BlockRef, Call, LogBatch, Read, Token
from tests.chain.custody_calls import DAY, ETHER, REMOTE, USDC, borrow_data, call_data, who
from tests.chain.custody_world import World

Place = tuple[str, str, str]


def rpc_of(world: World) -> Rpc:
    return Rpc(world.network.chain_id, [str(world.w3.provider.endpoint_uri)])  # type: ignore[attr-defined]  # an HTTPProvider


def places(world: World, told: Iterable[events.AnyEvent], safe: Address) -> Counter[Place]:
    """What the events add up to for one account: a ledger in twenty lines."""
    found: Counter[Place] = Counter()
    aave = world.network.protocols.aave_v3
    assert aave
    tokens = {world.token(r.token): r for r in aave.reserves}

    def key(where: Address) -> str:
        return Token(world.network.chain_id, where).key()

    for event in told:
        match event:
            case events.Moved():
                came = (event.destination == safe) - (event.source == safe)
                found["wallet", "position", key(event.token)] += came * event.atoms
            case events.Supplied() | events.Withdrawn() if event.holder == safe:
                sign = 1 if isinstance(event, events.Supplied) else -1
                found["aave_v3", "position", key(tokens[event.reserve].a_token)] += sign * event.shares
            case events.Borrowed() | events.Repaid() if event.holder == safe:
                sign = -1 if isinstance(event, events.Borrowed) else 1
                found["aave_v3", "debt", key(tokens[event.reserve].variable_debt_token)] += sign * event.shares
            case events.LineDrawn() if event.safe == safe:
                found["credit_line", "financing", key(event.line)] -= event.shares
            case events.LineRepaid() if event.safe == safe:
                found["credit_line", "financing", key(event.line)] += event.shares
    return found


async def on_chain(rpc: Rpc, world: World, block: BlockRef) -> dict[Place, int]:
    """Every read of the account at one block, but for the native coin, which leaves no logs."""
    native = Token(world.network.chain_id, ZERO_ADDRESS).key()
    wanted: list[Read] = [r for r in protocols.reads(world.network, world.safe) if r.asset != native]
    answers = await reads.multicall_at(rpc, world.network, block.hash, [r.call for r in wanted])
    found = {}
    for read, answer in zip(wanted, answers, strict=True):
        assert answer is not None
        found[read.place, read.kind, read.asset] = read.sign * read.decode(answer)
    return found


def plan(world: World, *actions: AnyAction, draw: int = 0) -> None:
    """One planner action of encoded calls: the rule book accepts what the protocols encode."""
    world.execute(*(protocols.encode(world.network, a) for a in actions), draw=draw)


async def bridge(rpc: Rpc, world: World, atoms: int) -> None:
    """Send synthetic USDC to the client's own address on the other network, with the fee that the route quotes."""
    rich = who("market-maker")
    pay = call_data("transfer(address,uint256)", world.safe, 2 * atoms)
    world.send(world.route, pay, sender=world.impersonate(rich))
    quote = hyperlane.quote(world.route, REMOTE, world.cold, atoms)
    head = await reads.head(rpc)
    quoted = hyperlane.quoted(await reads.call_at(rpc, head.hash, quote.to, quote.data))
    assert quoted[world.route] == atoms
    plan(world, Bridge("hyperlane", world.safe, world.route, REMOTE, world.cold, atoms, quoted.get(ZERO_ADDRESS, 0)))


async def live(rpc: Rpc, world: World) -> None:
    """A client's life in ten transactions."""
    safe, usdc = world.safe, world.usdc
    plan(world, Swap("uniswap_v3", safe, world.weth, usdc, 3000, ETHER // 10, 197 * USDC))
    world.owner(world.own.module, world.trade_data(world.trade(world.pool, borrow_data(world, 300_000 * USDC))))
    world.warp(3600)
    world.mint("usdc", safe, 777)
    repay, supply = Repay("aave_v3", safe, usdc, 100_000 * USDC), Supply("aave_v3", safe, usdc, 50_000 * USDC)
    plan(world, repay, supply, draw=150_000 * USDC)
    world.warp(3600)
    plan(world, RepayLine(safe, 40_000 * USDC))
    plan(world, Withdraw("aave_v3", safe, usdc, 10_000 * USDC))
    await bridge(rpc, world, 400 * USDC)
    world.owner(world.own.module, world.withdraw_data(world.withdrawal()))
    world.owner(world.own.module, call_data("requestExit()"))


async def told(rpc: Rpc, world: World, start: BlockRef) -> list[LogBatch]:
    wanted = protocols.watched(world.network) | protocols.watched_accounts([world.safe])
    steps = await follower.next_steps(rpc, world.network, (start,), wanted)
    return [step for step in steps if isinstance(step, LogBatch)]


async def test_protocols__an_account_lives__events_add_up_to_the_network(world: World) -> None:
    async with rpc_of(world) as rpc:
        start = await reads.head(rpc)
        before = await on_chain(rpc, world, start)
        await live(rpc, world)
        batches = await told(rpc, world, start)
        found = [e for b in batches for e in protocols.decode(world.network, b.logs)]
        after = await on_chain(rpc, world, batches[-1].block)
    grown = places(world, found, world.safe)
    assert {place: after[place] - before[place] for place in after} == {place: grown[place] for place in after}
    assert sum(value != 0 for value in grown.values()) >= 6


async def test_protocols__an_account_lives__every_step_is_told(world: World) -> None:
    async with rpc_of(world) as rpc:
        start = await reads.head(rpc)
        await live(rpc, world)
        batches = await told(rpc, world, start)
    found = [e for b in batches for e in protocols.decode(world.network, b.logs)]
    assert [e.ref for e in found] == sorted(e.ref for e in found)
    done = [e for e in found if isinstance(e, events.ActionDone)]
    assert [e.draw_atoms for e in done] == [0, 150_000 * USDC, 0, 0, 0]
    assert {e.safe for e in done} == {world.safe}
    used = [e for e in found if isinstance(e, events.TicketUsed)]
    assert [(e.kind, e.atoms) for e in used] == [("trade", 0), ("withdrawal", 1_000 * USDC)]
    assert (used[1].token, used[1].recipient, used[1].nonce) == (world.usdc, world.cold, used[0].nonce + 1)
    assert [e.atoms for e in found if isinstance(e, events.LineDrawn)] == [150_000 * USDC]
    assert [(e.atoms, e.payer) for e in found if isinstance(e, events.LineRepaid)] == [(40_000 * USDC, world.safe)]
    (sent,) = (e for e in found if isinstance(e, events.Sent))
    assert (sent.sender, sent.recipient, sent.destination, sent.atoms) == (world.safe, world.cold, REMOTE, 400 * USDC)
    assert (sent.token, sent.route) == (world.route, world.route)
    changed = Counter(e.what for e in found if isinstance(e, events.CustodyChanged))
    assert changed == {"executed": 3, "exit_requested": 1}
    assert len([e for e in found if isinstance(e, events.Swapped)]) == 1


async def test_line__time_passes__index_and_debt_equal_the_contract(world: World) -> None:
    async with rpc_of(world) as rpc:
        start = await reads.head(rpc)
        plan(world, Supply("aave_v3", world.safe, world.usdc, 900_000 * USDC), draw=900_000 * USDC)
        batches = await told(rpc, world, start)
        for seconds in (1, 3601, 40 * DAY):
            world.warp(seconds)
            head = await reads.head(rpc)
            index, debt, shares = await reads.multicall_at(rpc, world.network, head.hash, [
                Call(world.own.credit_line, call_data("currentIndex()")),
                Call(world.own.credit_line, call_data("debtOf(address)", world.safe)),
                Call(world.own.credit_line, call_data("scaledOf(address)", world.safe)),
            ])  # fmt: skip
            assert index and debt and shares
            updates = [(b.block.timestamp, e) for b in batches for e in protocols.decode(world.network, b.logs)
                       if isinstance(e, events.IndexUpdated) and e.venue == isthmus.LINE]  # fmt: skip
            when, last = updates[-1]
            now = isthmus.line_index_at(last.debt_index, last.debt_rate, when, head.timestamp)
            assert now == int.from_bytes(index, "big")
            assert isthmus.line_debt(int.from_bytes(shares, "big"), now) == int.from_bytes(debt, "big")


async def test_factory__account_is_born__its_own_logs_of_that_block_are_found_by_a_second_read(world: World) -> None:
    async with rpc_of(world) as rpc:
        start = await reads.head(rpc)
        born = world.birth([who("owner-0"), who("owner-1")], 2, [], 99)
        (batch,) = await told(rpc, world, start)
        (opened,) = (e for e in protocols.decode(world.network, batch.logs) if isinstance(e, events.AccountOpened))
        assert (opened.safe, opened.owners, opened.threshold) == (born, (who("owner-0"), who("owner-1")), 2)
        more = await follower.logs_for(rpc, batch.block, protocols.watched_accounts([opened.safe]))
    changes = [e.what for e in protocols.decode(world.network, more.logs) if isinstance(e, events.CustodyChanged)]
    assert set(changes) >= {"module_enabled", "guard_changed"}

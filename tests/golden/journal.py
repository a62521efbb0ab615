"""Readable journals for golden tests: text in, the account's reports as text out.

A journal line is one of

    eth 2000 | usdc 1 | age 601                 prices, and their age in seconds
    set model haircut                           one margin parameter
    A 10 final | supply weth 10; borrow usdc 5  one transaction: network, block, final or pending, what happened
    ticket C | withdraw usdc 100                an open reservation

`python -m tests.golden.journal` writes all expected reports anew; read the difference before committing it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import cautious_balances, fold, view_balances
from aggregator.ledger.posting import post
from aggregator.ledger.transfers import Group, GroupState, Origin
from aggregator.margin.engine import assess, cautious, close_out_gate
from aggregator.margin.explain import explain, figures
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.portfolio.interest import InterestState
from aggregator.portfolio.netting import net
from aggregator.portfolio.portfolio import View
from chains import events as ev
from chains.types import Address, ChainId, EventRef
from tests.unit import pure_world as w

FOLDER = Path(__file__).parent
CHAINS = {"A": w.A, "B": w.B, "C": w.C}
TOKENS: dict[str, tuple[Address, int]] = {"weth": (w.WETH, 18), "usdc": (w.USDC, 6), "hyp": (w.HYP, 6)}
PARAMETERS = Parameters(
    range_down_up={"ETH": (0.3, 0.3), "USDC": (0.005, 0.002)}, maintenance_share=0.5, steps=(1 / 3, 2 / 3, 1.0), theta=0.25,
    liquidity={"ETH": 0.005, "USDC": 0.0005}, wrapper={"hyperlane": 0.01}, transit={"hyperlane": 0.0006},
    oracle_band={"ETH": 0.062, "USDC": 0.005}, model="spot_grid", finality_pending=0.0, stables=("USDC",),
    haircut_ltv_threshold={"ETH": (0.80, 0.825), "USDC": (0.77, 0.80)},
)  # fmt: skip
VENUE = {"supply": ev.Supplied, "unsupply": ev.Withdrawn, "borrow": ev.Borrowed, "repay": ev.Repaid}


@dataclass
class Story:
    """What a journal says, before anything is computed."""

    eth: str = "2000"
    usdc: str = "1"
    age: int = 0
    parameters: Parameters = PARAMETERS
    groups: list[tuple[Group, GroupState]] = field(default_factory=list)
    reserved: list[Group] = field(default_factory=list)


def read(text: str) -> Story:
    """A journal's story. Raises ValueError or KeyError for a line that is none of the forms above."""
    story = Story()
    for number, line in enumerate(text.splitlines()):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        head, _, what = line.partition("|")
        words = head.split()
        if words[0] in ("eth", "usdc"):
            setattr(story, words[0], words[1])
        elif words[0] == "age":
            story.age = int(words[1])
        elif words[0] == "set":
            story.parameters = dataclasses.replace(story.parameters, **{words[1]: _value(words[2])})
        elif words[0] == "ticket":
            (group,) = _groups(CHAINS[words[1]], -1, f"ticket-{number}", what)
            story.reserved.append(dataclasses.replace(group, key=f"ticket:{number}", origin=Origin.TICKET))
        else:
            state = GroupState.POSTED if words[2] == "final" else GroupState.PENDING
            story.groups += [(g, state) for g in _groups(CHAINS[words[0]], int(words[1]), f"{head}-{number}", what)]
    return story


def _value(text: str) -> str | float:
    return float(text) if text[0].isdigit() else text


def _groups(chain: ChainId, block: int, tx: str, what: str) -> tuple[Group, ...]:
    found: list[ev.Event] = []
    for step in what.split(";"):
        found += _events(w.ref(chain, block, 10 * len(found), tx), step.split())
    return post(found, w.BOOK)


def _events(ref: EventRef, words: list[str]) -> Iterator[ev.Event]:
    """One step as the events that decoders would tell."""
    verb, token, size = words[0], *TOKENS[words[1]]
    atoms = int(Decimal(words[2]) * 10**size)
    after = dataclasses.replace(ref, log_index=ref.log_index + 1)
    inward = verb in ("deposit", "unsupply", "borrow", "receive", "draw")
    venue_side = w.LINE if verb in ("draw", "repayline") else w.STRANGER
    yield ev.Moved(ref, token, venue_side if inward else w.ALICE, w.ALICE if inward else venue_side, atoms)
    if verb in VENUE:
        yield VENUE[verb](after, "aave_v3", w.POOL, token, w.ALICE, atoms, atoms)
    elif verb == "send":
        yield ev.Sent(after, "hyperlane", w.ROUTE, token, w.ALICE, CHAINS[words[3]], w.ALICE, atoms, words[4])
    elif verb == "receive":
        yield ev.Received(after, "hyperlane", w.ROUTE, token, CHAINS[words[3]], w.ALICE, atoms, words[4])
    elif verb == "draw":
        yield ev.LineDrawn(after, w.LINE, w.ALICE, atoms, atoms)
    elif verb == "repayline":
        yield ev.LineRepaid(after, w.LINE, w.ALICE, w.ALICE, atoms, atoms)
    elif verb not in ("deposit", "withdraw"):
        raise ValueError(f"no such step: {verb}")


def reports(story: Story) -> dict[View, MarginReport]:
    """Reports of alice in every view; all indices at one."""
    posted = fold(story.groups).posted()
    pending = [g for g, s in story.groups if s is GroupState.PENDING]
    market = w.market(story.eth, story.usdc, story.age)
    interest = {
        f"{c}:{t}": InterestState(c, "", f"{c}:{t}", w.RAY, 0, w.NOW)
        for c in w.CHAINS for t in (w.A_WETH, w.A_USDC, w.D_WETH, w.D_USDC, w.LINE)
    }  # fmt: skip
    safes = [(int(c), str(w.ALICE)) for c in w.CHAINS]

    def report(view: View, balances: dict[LedgerAccount, int]) -> MarginReport:
        found = net("alice", view, balances, interest, w.NETWORKS, w.as_of(), safes, finalised=posted)
        return assess(found, market, story.parameters)

    views = (View.FINALISED, View.HEAD, View.PROJECTED, View.OPTIMISTIC)
    made = {v: report(v, view_balances(posted, pending, story.reserved, v)) for v in views}
    final, head = cautious_balances(posted, pending, story.reserved)
    made[View.CAUTIOUS] = cautious(report(View.FINALISED, final), report(View.HEAD, head))
    return made


def render(text: str) -> str:
    """All of it as text: the three numbers in every view, then every figure of the head view in words."""
    made = reports(read(text))
    lines = [f"{'view':12}{'state':12}{'net liquidation':>22}{'initial':>18}{'maintenance':>18}{'target':>18}"]
    for view, r in made.items():
        risk = r.risk
        numbers = (risk.net_liquidation_value, risk.initial_margin, risk.maintenance_margin, risk.close_out_target)
        widths = (22, 18, 18, 18)
        lines.append(f"{view.value:12}{r.state.value:12}" + "".join(f"{n:>{k},f}" for n, k in zip(numbers, widths, strict=True)))
    lines.append(f"close-out may start: {'yes' if close_out_gate(made[View.HEAD], made[View.OPTIMISTIC]) else 'no'}")
    head = made[View.HEAD]
    for figure in figures(head):
        told = explain(head, figure)
        lines += ["", f"{figure} = {_number(told.value)}", f"  {told.sentence}"]
        lines += [f"  {_number(line.value):>22}  {line.label}: {line.why}" for line in told.lines]
    return "\n".join(lines) + "\n"


def _number(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,f}"


def main() -> None:
    """Write every expected report."""
    for path in sorted((FOLDER / "journals").glob("*.txt")):
        (FOLDER / "reports" / path.name).write_text(render(path.read_text()))
        print(path.name)


if __name__ == "__main__":
    main()

"""`spot_grid`: consolidated margin of spot assets and debts, netted over the whole account and all networks. Pure.

Scenarios: all assets that are not dollars move together by {0, 1/3, 2/3, 1} of their range, both ways; beside each of these moves
one dollar asset is at rest, at its low or at its high. Assets and debts move together, so a hedge on another network offsets.
Wrappers stay at rest; their risk is a line. What scenarios carry has no haircut; what they cannot carry is a line (margin/cuts.py).

Available value = min over scenarios of the sum over assets of [net stressed exposure less its price concession]. Lines: `market` is
what the worst move takes with dollars at rest, `stable` what a dollar off its peg takes beyond, `liquidity` the concession at rest.
Maintenance uses `maintenance_share` of every range.
"""

from __future__ import annotations

from aggregator.margin.cuts import PPB, Level, Tally, ppb, remaining, scaled
from aggregator.margin.kernel import Table, stressed
from aggregator.margin.outcome import Outcome
from aggregator.margin.parameters import Parameters
from aggregator.margin.valuation import Valuation, usd

REST = "at rest"


def table(parameters: Parameters, level: Level, extra: frozenset[str] = frozenset()) -> Table:
    """Factors of every scenario; the first is at rest. `extra`: held assets without a range, which never move."""
    share = 1.0 if level is Level.INITIAL else parameters.maintenance_share
    assets = tuple(sorted(set(parameters.range_down_up) | extra))
    steps = [0.0] + [s for step in sorted(parameters.steps) for s in (-step, step)]
    dollars = [(s, way) for s in sorted(parameters.stables) if s in parameters.range_down_up for way in (-1.0, 1.0)]
    names: list[str] = []
    factors: list[tuple[int, ...]] = []
    for step in steps:
        for dollar in [None, *dollars]:
            names.append(_name(step, dollar))
            factors.append(tuple(_factor(a, step, dollar, share, parameters) for a in assets))
    concession = tuple(ppb(parameters.liquidity.get(a, 1.0)) if a in parameters.range_down_up else 0 for a in assets)
    return Table(tuple(names), assets, tuple(factors), concession)


def _factor(asset: str, step: float, dollar: tuple[str, float] | None, share: float, parameters: Parameters) -> int:
    down, up = parameters.range_down_up.get(asset, (0.0, 0.0))
    if asset in parameters.stables:
        step = dollar[1] if dollar is not None and dollar[0] == asset else 0.0
    return max(0, PPB + ppb(step * share * (down if step < 0 else up)))


def _name(step: float, dollar: tuple[str, float] | None) -> str:
    parts = [f"prices {step:+.0%} of range"] if step else []
    if dollar is not None:
        parts.append(f"{dollar[0]} {'low' if dollar[1] < 0 else 'high'}")
    return ", ".join(parts) or REST


def assess(valuation: Valuation, parameters: Parameters, level: Level) -> Outcome:
    """Available value of the whole account in its worst scenario, with the lines that lead there."""
    grid = table(parameters, level, frozenset(leg.holding.asset for leg in valuation.legs))
    place = {asset: i for i, asset in enumerate(grid.assets)}
    tally = Tally()
    rows = [(place[leg.holding.asset], remaining(leg, valuation, parameters, level, tally)) for leg in valuation.legs]
    gross = [(place[leg.holding.asset], leg.signed) for leg in valuation.legs]
    values = stressed(rows, grid)
    free = Table(grid.names, grid.assets, grid.factors, (0,) * len(grid.assets))
    moved = stressed(gross, free)
    _liquidity(rows, grid, tally)
    at_pegs = [i for i, name in enumerate(grid.names) if not _off_peg(name, parameters)]
    at_rest, worst_at_pegs, worst = values[0], min(values[i] for i in at_pegs), min(values)
    binding = grid.names[values.index(worst)]
    peg_name = grid.names[next(i for i in at_pegs if values[i] == worst_at_pegs)]
    moves = _moves(grid, peg_name, valuation)
    tally.add("market", at_rest - worst_at_pegs, f"worst with dollars at rest: {peg_name}{moves}; net of all networks")
    tally.add("stable", worst_at_pegs - worst, f"worst of all: {binding}")
    scenarios = tuple((name, moved[i] - valuation.net) for i, name in enumerate(grid.names))
    return Outcome(worst, tally, scenarios, binding)


def _moves(grid: Table, name: str, valuation: Valuation) -> str:
    held = {leg.holding.asset for leg in valuation.legs}
    row = grid.factors[grid.names.index(name)]
    found = [f"{a} {(f - PPB) * 100 / PPB:+.1f} %" for a, f in zip(grid.assets, row, strict=True) if a in held and f != PPB]
    return f" ({', '.join(found)})" if found else ""


def _off_peg(name: str, parameters: Parameters) -> bool:
    return any(f"{s} low" in name or f"{s} high" in name for s in parameters.stables)


def _liquidity(rows: list[tuple[int, int]], grid: Table, tally: Tally) -> None:
    for i, asset in enumerate(grid.assets):
        net, parts = sum(v for a, v in rows if a == i), grid.concession[i]
        after = scaled(net, PPB - parts if net >= 0 else PPB + parts)
        tally.add("liquidity", net - after, f"{parts * 100 / PPB:.2f} % of net {asset} {usd(net):f} USD")

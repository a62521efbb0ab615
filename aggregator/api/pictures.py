"""Pictures of margin, drawn on the server as inline SVG: sizes are attributes and colours classes, so no style is ever inline.

One picture at three sizes: net liquidation value is a bar, maintenance and initial margin are ticks on it, what is missing is a
dashed box. In a row of a table initial margin stands at the same place, so that a column of accounts is read at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup, escape

from aggregator.api import figures as f
from aggregator.margin.report import Line, Risk, State

ROW_WIDTH, ROW_INITIAL = 118.0, 58.0
BAR = {State.OK: "f-nlv", State.CALL: "f-call", State.CLOSE_OUT: "f-close", State.INSOLVENT: "f-close"}


@dataclass(frozen=True, slots=True)
class Fall:
    """One row of the waterfall: from net liquidation value down, line by line, to available margin. x, width: of 400."""

    label: str
    why: str
    amount: str
    exact: str
    kind: str
    x: str
    width: str


def _n(value: float) -> str:
    return f"{value:.1f}"


def _rect(x: float, y: float, width: float, height: float, kind: str, more: str = "") -> str:
    if width <= 0:
        return ""
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" class="{kind}"{more}/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" class="{kind}"/>'


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}">{escape(text)}</text>'


def room(risk: Risk, state: State) -> Markup:
    """The row's picture; initial margin at x = 58 of 118."""
    initial, value = float(risk.initial_margin), float(risk.net_liquidation_value)
    if initial <= 0:
        return Markup('<span class="mute" title="Nothing is required">{}</span>').format(f.NOTHING)
    at = [max(0.0, min(ROW_WIDTH, v / initial * ROW_INITIAL)) for v in (value, float(risk.maintenance_margin))]
    body = _rect(0, 4, ROW_WIDTH, 5, "f-track", ' rx="1"') + _rect(0, 4, min(at[0], ROW_INITIAL), 5, BAR[state], ' rx="1"')
    body += _rect(ROW_INITIAL, 4, at[0] - ROW_INITIAL, 5, "f-nlv2", ' rx="1"')
    body += _line(at[1], 0.5, at[1], 12.5, "s-mm") + _line(ROW_INITIAL, 0.5, ROW_INITIAL, 12.5, "s-im")
    label = f"net liquidation value is {f.ratio(risk.net_liquidation_value / risk.initial_margin)} of initial margin"
    return Markup(f'<svg width="118" height="13" viewBox="0 0 118 13" role="img" aria-label="{escape(label)}">{body}</svg>')


def three(risk: Risk, width: int) -> Markup:
    """The large picture of one account, `width` 1010 or 350."""
    values = [float(v) for v in (risk.net_liquidation_value, risk.initial_margin, risk.maintenance_margin, risk.close_out_target)]
    top = max(1.0, *values) * 1.08
    nlv, im, mm, target = (max(0.0, v) / top * width for v in values)
    wide = width > 600
    body = _rect(0, 40, width, 18, "f-track", ' rx="2"') + _rect(0, 40, min(nlv, mm), 18, "f-nlv", ' rx="2"')
    body += _rect(mm, 40, nlv - mm, 18, "f-nlv2")
    body += _rect(nlv + 0.6, 40.6, im - nlv - 1.2, 16.8, "need") if im > nlv else ""
    body += _line(mm, 13, mm, 58, "s-mm") + _line(im, 27, im, 58, "s-im") + _line(target, 36, target, 58, "s-mute s-dash")
    body += _labels(risk, width, (mm, im), wide) + _brackets(risk, (nlv, im, mm), wide)
    asked = max(Decimal(0), -risk.available_margin)
    told = f"; {f.needs(asked)} is asked" if asked else ""
    label = (f"Net liquidation value {f.has(risk.net_liquidation_value)}, maintenance margin {f.needs(risk.maintenance_margin)}, "
             f"initial margin {f.needs(risk.initial_margin)}{told}")  # fmt: skip
    height = 84 if wide else 98
    kind = "only-wide" if wide else "only-narrow"
    return Markup(f'<svg class="chart {kind}" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
                  f'aria-label="{escape(label)}">{body}</svg>')  # fmt: skip


def _labels(risk: Risk, width: int, ticks: tuple[float, float], wide: bool) -> str:
    """Names of the ticks, on two levels so that they never meet, each on the side where it has room."""
    found = ""
    for y, at, name, value in ((10, ticks[0], "maintenance margin", risk.maintenance_margin),
                               (24, ticks[1], "initial margin", risk.initial_margin)):  # fmt: skip
        words = f"{name} {f.million(value, up=True)}" if wide else name
        left = at > width - 8 * len(words)
        found += _text(at - 5 if left else at + 5, y, "lab end" if left else "lab", words)
    return found


def _brackets(risk: Risk, at: tuple[float, float, float], wide: bool) -> str:
    nlv, im, mm = at
    found = _text(0, 80, "", "0")
    if risk.excess_liquidity > 0 and nlv - mm > 1:
        found += _line(mm, 66, nlv, 66, "s-nlv") + _line(mm, 63, mm, 69, "s-nlv") + _line(nlv, 63, nlv, 69, "s-nlv")
        middle, words = (mm + nlv) / 2, "excess liquidity" if wide else "excess"
        found += _text(max(middle, 70), 80, "mid lab", f"{words} {f.has(risk.excess_liquidity)}")
    if risk.available_margin < 0:
        found += _line(nlv + 1, 66, im, 66, "s-call") + _line(im, 63, im, 69, "s-call")
        found += _text(im, 80 if wide else 94, "end t-call", f"asked {f.needs(-risk.available_margin)}")
    return found


def falls(risk: Risk, lines: Sequence[Line]) -> tuple[Fall, ...]:
    """Rows from net liquidation value through every line of initial margin to available margin."""
    level = risk.net_liquidation_value
    low = min(Decimal(0), risk.available_margin)
    span = max(Decimal(1), max(level, Decimal(0)) - low)

    def row(label: str, why: str, amount: str, exact: Decimal, kind: str, ends: tuple[Decimal, Decimal]) -> Fall:
        left, right = (float((v - low) / span) * 400 for v in sorted(ends))
        return Fall(label, why, amount, f.exact(exact), kind, _n(left), _n(max(right - left, 1.0)))

    found = [row("Net liquidation value", "assets less debts, no haircut", f.has(level), level, "f-nlv", (Decimal(0), level))]
    for line in lines:
        if line.initial:
            after = level - line.initial
            found.append(row(f.words(line.name), line.why, f.has(-line.initial), -line.initial, "f-loss", (after, level)))
            level = after
    kind = "f-nlv" if level >= 0 else "f-call"
    found.append(row("Available margin", "for new risk and withdrawals", f.has(level), level, kind, (Decimal(0), level)))
    return tuple(found)


def bar(value: Decimal, most: Decimal, kind: str = "f-im") -> Markup:
    """A thin bar under a line: its share of the largest."""
    share = min(1.0, float(abs(value) / most)) * 400 if most else 0.0
    return Markup(f'<svg width="100%" height="5" viewBox="0 0 400 5" preserveAspectRatio="none" aria-hidden="true">'
                  f'{_rect(0, 1, max(share, 1.0), 3, kind)}</svg>')  # fmt: skip

"""The mandate of a demo client, signed by one of its owners as EIP-712 and handed to the API."""

from __future__ import annotations

from aggregator.local.stack import DEPLOYMENT
from aggregator.local.story_cast import ClientCast
from aggregator.local.story_stage import Stage
from aggregator.plan import consent
from aggregator.plan.mandate import Mandate, parse
from chains.devnet import roles
from chains.signer import LocalSigner

MAX_COST_BPS = 100


def mandate_of(stage: Stage, cast: ClientCast) -> tuple[Mandate, dict[str, object]]:
    """The client's mandate and its JSON."""
    body: dict[str, object] = {
        "networks": sorted(int(c) for c in stage.networks),
        "venues": ["aave_v3", "uniswap_v3"],
        "bridges": ["hyperlane"],
        "max_cost_bps": MAX_COST_BPS,
        "may_move_collateral": cast.may_move_collateral,
    }
    return parse(body), body


async def sign(stage: Stage, cast: ClientCast) -> None:
    """Sign version 1 of the mandate as an owner and store it."""
    mandate, body = mandate_of(stage, cast)
    owner = LocalSigner(roles.key(f"{cast.role}-owner-0"))
    signature = owner.sign_digest(consent.digest(DEPLOYMENT, cast.client, 1, mandate))
    await stage.api.set_mandate(cast.client, 1, body, "0x" + signature.hex())

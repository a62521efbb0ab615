"""Types of values in requests and answers: decimals and atoms are strings in both directions, never JSON numbers.

A decimal prints with all its places and without an exponent. An amount given as a JSON number is refused, because a float has
already lost what the sender meant.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from aggregator.units import plain
from chains.types import address

DECIMAL_PATTERN: Final = r"^-?(0|[1-9][0-9]{0,59})(\.[0-9]{1,36})?$"
ATOMS_PATTERN: Final = r"^(0|[1-9][0-9]{0,77})$"
_DECIMAL = re.compile(DECIMAL_PATTERN + r"(?!\n)")
_ATOMS = re.compile(ATOMS_PATTERN + r"(?!\n)")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _DECIMAL.match(value):
        raise ValueError("must be a decimal string like \"1250.50\", without exponent; JSON numbers are refused")
    return Decimal(value)


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be an integer")


def _atoms(value: Any) -> int:
    if isinstance(value, str) and _ATOMS.match(value) and int(value) < 2**256:
        return int(value)
    raise ValueError("must be an integer string like \"1250500000\", below 2^256; JSON numbers are refused")


def _atoms_out(value: Any) -> int:
    return _integer(value) if not isinstance(value, str) else int(value)


def _data(value: str) -> str:
    if len(value) % 2 or not re.fullmatch(r"0x[0-9a-fA-F]*", value):
        raise ValueError("must be 0x and an even number of hex digits")
    return value.lower()


DecimalString = Annotated[
    Decimal, BeforeValidator(_decimal), PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DECIMAL_PATTERN, "examples": ["1250.500000"]}),
]  # fmt: skip
AtomsIn = Annotated[
    int, BeforeValidator(_atoms),
    WithJsonSchema({"type": "string", "pattern": ATOMS_PATTERN, "examples": ["1250500000"]}),
]  # fmt: skip
AtomsString = Annotated[
    int, BeforeValidator(_atoms_out), PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+$", "examples": ["1250500000"]}),
]  # fmt: skip
AddressText = Annotated[
    str, AfterValidator(address),
    WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$", "examples": ["0x" + "ab" * 20]}),
]  # fmt: skip
CallData = Annotated[
    str, Field(max_length=20_000), AfterValidator(_data),
    WithJsonSchema({"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$", "maxLength": 20_000}),
]  # fmt: skip
ChainIdNumber = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1, description="EVM chain id", examples=[71001])]
ClientName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Margin account id")]

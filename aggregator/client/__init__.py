"""The Python SDK that institutions and keepers import; it knows the API's document and nothing of the server's code."""

from aggregator.client.client import ApiRefused, IsthmusClient

__all__ = ["ApiRefused", "IsthmusClient"]

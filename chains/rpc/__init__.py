"""Talking to nodes: one method, `Rpc.call(method, params)`, over a pool of endpoints; typed reads on top of it."""

from chains.rpc.pool import Rpc

__all__ = ["Rpc"]

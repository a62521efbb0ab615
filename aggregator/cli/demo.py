"""`demo`: the main job on embedded services and local networks, told step by step, then as tables."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aggregator.cli import demo_tables
from aggregator.clock import ticks_ms
from aggregator.errors import ConfigInvalid
from chains.networks.network import Network
from chains.types import ChainId

MAX_SHOCK = 0.25


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; with --once returns 0 when every promise of the story held, else 1."""
    if not 0 <= arguments.shock <= MAX_SHOCK:
        raise ConfigInvalid(
            f"--shock {arguments.shock} is not between 0 and {MAX_SHOCK}; the story is written for falls up to a quarter"
        )
    return asyncio.run(_demo(arguments))


async def _demo(arguments: argparse.Namespace) -> int:
    from aggregator.local.processes import Supervisor
    from aggregator.local.stack import Stack
    from chains.devnet import layout
    from chains.networks.network import load_many

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    networks: Mapping[ChainId, Network] = load_many(tuple(layout.NETWORKS))
    started = ticks_ms()

    def say(line: str) -> None:
        print(f"{(ticks_ms() - started) / 1000:6.1f} s  {line}", flush=True)

    supervisor = Supervisor(keep=arguments.keep)
    stack = Stack(supervisor, networks, say, arguments.seed, arguments.without != "planner", arguments.port)
    story = asyncio.ensure_future(_story(arguments, stack, networks, say))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({story, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not story.done():
            say("stopped before the story's end")
            story.cancel()
            return 130
        code = story.result()
        if not arguments.once:
            say("everything stays up and follows new blocks; Ctrl-C ends it. The page, for a browser on this machine:")
            say(stack.page())
            say("in another terminal: python3 -m aggregator margin | actions | explain marlow initial_margin | reconcile")
            await _watch(stack, stopping)
        return code
    finally:
        stopping.cancel()
        await stack.stop()
        if arguments.keep:
            print(f"kept: {supervisor.folder}", file=sys.stderr)


async def _watch(stack: Any, stopping: asyncio.Future[Any]) -> None:
    """Until Ctrl-C; a process that ends by itself is an error with its name."""
    while not stopping.done():
        await asyncio.wait({stopping}, timeout=1.0)
        stack.check()


async def _story(arguments: argparse.Namespace, stack: Any, networks: Mapping[ChainId, Network], say: Any) -> int:
    from aggregator.client import IsthmusClient
    from aggregator.local import story, story_cast
    from aggregator.local.story_stage import Stage
    from chains.rpc import Rpc

    await stack.start()
    say(f"services, three networks and the deployment are up; API: {stack.api_url}")
    if not arguments.once:
        say(f"watch it live: {stack.page()}")
    rpcs = {c: Rpc(c, [stack.services.nodes[c].url]) for c in networks}
    try:
        async with IsthmusClient(stack.api_url, stack.desk_key) as api:
            cast = story_cast.draw(arguments.seed, arguments.shock)
            found = await story.play(Stage(cast, stack, stack.store, api, networks, rpcs, say))
    finally:
        for rpc in rpcs.values():
            await rpc.close()
    demo_tables.show(found)
    if arguments.json:
        await asyncio.to_thread(Path(arguments.json).write_text, json.dumps(found, indent=2, default=str) + "\n")
        say(f"report written to {arguments.json}")
    return 0 if found["ok"] else 1

"""A program for the tests of aggregator.local.processes: starts all kinds of children, tells their pids, waits to be ended.

Arguments: the chain id of its network, the file to write once everything runs, whether one daemon `obeys` or `ignores` SIGTERM.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from aggregator.local import services
from aggregator.local.anvil import AnvilSpec
from aggregator.local.processes import Supervisor

# A daemon that starts a process of its own in a new session and tells nobody.
DAEMON = """
import signal, subprocess, sys, time
if sys.argv[2] == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]], start_new_session=True)
time.sleep(600)
"""


def main() -> None:
    with Supervisor() as supervisor:
        supervisor.spawn("daemon", [sys.executable, "-c", DAEMON, str(supervisor.folder), sys.argv[3]])
        supervisor.spawn("sleeper", ["sleep", "600"], {"FOLDER": str(supervisor.folder)})
        up = services.start_all(supervisor, networks=[AnvilSpec(int(sys.argv[1]), 0.5, 1)], durable=False)
        assert set(up.nodes) == {int(sys.argv[1])}
        Path(sys.argv[2]).write_text(json.dumps({"folder": str(supervisor.folder)}))
        time.sleep(600)


if __name__ == "__main__":
    main()

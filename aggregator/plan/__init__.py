"""From reports to steps: what to do, how much, in which order, reserved and identified before anything is signed. Pure."""

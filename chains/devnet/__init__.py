"""Local networks with real protocol bytecode: locked artifacts, one deploy module per protocol, baked states."""

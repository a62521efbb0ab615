"""Market data as pure values: prices, their age, curves. Pure."""

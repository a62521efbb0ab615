"""Consolidated margin: a pure function of portfolio, market and parameters. Pure."""

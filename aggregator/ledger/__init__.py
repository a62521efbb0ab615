"""The one ledger: every quantity once, double entry, pending until final. Pure."""

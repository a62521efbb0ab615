"""Holdings and debts of one client as of one instant, made from ledger balances. Pure."""

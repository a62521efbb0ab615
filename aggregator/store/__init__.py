"""The only place where a database transaction is opened: tables, journal, actions, queries."""

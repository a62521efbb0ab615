"""Routes: one file per noun, registered in this tuple; each has `OPERATIONS`."""

from aggregator.api.routes import accounts, actions, clients, events, health, tickets

ROUTES = (health, accounts, actions, events, clients, tickets)

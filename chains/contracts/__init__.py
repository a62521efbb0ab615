"""Own contracts: Solidity sources, their shipped artifacts, and the pure Python that signs, explains and decodes for them."""

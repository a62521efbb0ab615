"""The account API and the live page: aiohttp, pydantic, one OpenAPI 3.1 document made from the code."""

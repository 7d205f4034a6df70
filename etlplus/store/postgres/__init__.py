"""
The PostgreSQL body of the store, for one node or many.

``bridge`` is the only module of the house where asyncio lives; the units are written in asyncio's flavor and each crosses
over once. Nothing here is imported unless a store at a ``postgresql://`` address is opened.
"""

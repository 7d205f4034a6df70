"""
The front door and its windows: REST for asking, a WebSocket for watching.

One table of routes says what there is; the accept loops are our own, so that a hostile client harms only itself. This room
decides nothing about jobs or runs: it decodes, asks the service on behalf of whoever signed in, and encodes.
"""

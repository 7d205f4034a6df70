"""
The fuse box: opens the rooms in order, builds the tree of actors, and closes everything again.

``open_service`` is the product: the whole service inside somebody else's nursery. The daemon (``serve``) is a guest of it.
The only room that knows every other.
"""

from etlplus.app.daemon import serve
from etlplus.app.opening import open_service

__all__ = ["open_service", "serve"]

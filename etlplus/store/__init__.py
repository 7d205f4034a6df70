"""
The cellar: what survives a restart.

One contract (``contract``), two bodies (``sqlite``, ``postgres``), one exam (``etlplus.testing.store_exam``). Whoever
opens the service opens a store with ``open_store`` and passes its parts on; nobody else touches a database of ours.
"""

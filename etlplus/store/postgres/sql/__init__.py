"""
Every statement that the PostgreSQL body sends, by name. No text of a caller is ever part of one.

Locks are always taken in the same order: job or worker, then slots, then unfinished runs by id, then lanes by id, then
tallies by name. Who breaks the order meets a deadlock at worst, which PostgreSQL ends and the bridge tries again.
"""

"""
Chaos with real processes: nodes on one PostgreSQL are killed, frozen and cut off while runs come in, and afterwards the
database is asked whether every promise was kept.

``plan`` makes a plan of faults from a seed, ``driver`` asks for runs all the while, ``nodes`` holds the processes, ``node`` is
the program that each of them runs, ``work`` is what its jobs do, ``faults`` does the harm, ``verdict`` asks the database.
"""

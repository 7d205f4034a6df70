"""
Nights: several nodes on one store under virtual time, and everything that can go wrong in one of them.

Nothing is mocked but the work itself: staff, runtime and store are the real ones. A night is told by its seed alone.
"""

"""
The test kit we also ship: the exams that every body of a contract sits, private servers to sit them on, and the kit of the
actor runtime.
"""

from etlplus.runtime.testing import Kit, Probe, deterministic, open_kit, simulate

__all__ = ["Kit", "Probe", "deterministic", "open_kit", "simulate"]

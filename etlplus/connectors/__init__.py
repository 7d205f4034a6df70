"""Pantry: one file per source or sink. Everything here runs in the engine's child, never in the daemon."""

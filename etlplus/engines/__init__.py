"""Workshops: where a run executes. The daemon's half speaks frames; the load itself runs in a child process."""

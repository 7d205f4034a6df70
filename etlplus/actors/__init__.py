"""
The staff: every long-lived duty of the daemon, one actor each, and the tree they live in.

Actors decide with the study (``jobs``), write through the store, have engines do the work and tell watchers. They know
nothing of people, HTTP or files of configuration; the service above them talks to them by message.
"""

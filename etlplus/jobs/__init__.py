"""
The study: what a job is, what a run may become, when something is due.

Pure thought: standard library and msgspec only, no await, no input or output; time, zones and randomness are
parameters.
"""

"""
Jobs, queues and limits as files in a folder: what the files want, how that differs from what the daemon has, and what is done
about it. The plan is computed from two pictures, so it can be shown before anything is changed.
"""

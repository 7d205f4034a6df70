"""
The test kit we also ship: the exams that every body of a contract sits, and private servers to sit them on.
"""

"""
Reception: everything a person or a program may ask for, one typed facet per file.

Facets check the permission, decide with the study, write through the store and tell the staff. They hold no state, open no
sockets and print nothing. REST, the live monitoring, the command line and an embedding program all call the same methods.
"""

"""`spyhop demo`: every part as a child process, faults on a schedule, and a judged result at the end.

It is in the top layer because, like the dashboard, it reads the results of all other packages.
"""

"""Imported by the server of local jobs alone: what ends a whole group of processes leaves it.

The launching process waits for the server's word on how each job ended, and the server ends with
it. A job that is forked answers SIGTERM again.
"""

import signal

for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)

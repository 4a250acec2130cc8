"""Stands where a shell would stand: leads the session of a terminal and runs one program on it.

usage: session_leader.py STATUS-DESCRIPTOR controlling|foreign PROGRAM ARGUMENT...

A controlling terminal is that of the session; a foreign one is only where input comes from.

Writes the program's process id and, when it has ended, its status to the descriptor, a line each.
Then it stays, since the terminal of a session whose leader ends is hung up.
"""
import fcntl
import os
import signal
import subprocess
import sys
import termios

report = os.fdopen(int(sys.argv[1]), "w", buffering=1)
if sys.argv[2] == "controlling":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
    signal.signal(number, lambda *_: None)  # the program gets the defaults, not us
program = subprocess.Popen(sys.argv[3:])
print(program.pid, file=report)
print(program.wait(), file=report)
while True:
    signal.pause()

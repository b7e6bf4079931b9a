"""The HTTP server: gunicorn's parser and processes, one gevent loop per process.

A connection costs a greenlet, so that thousands may be idle, slow or waiting for a job. Deadlines
and limits that gunicorn lacks are added here:

- `peer`: one connection, with deadlines for its headers, its body and each write;
- `connections`: all connections of a process; the longest idle one makes room for a new one;
- `worker`: the process that serves them, and drains them when it ends;
- `master`: keeps the processes running, and ends them;
- `command`: the command line;
- `disk`: calls that wait for a disk, in native threads.
"""

"""Four workers from one configuration, as a server with `--workers 4` starts them (multiprocessing, spawn or fork).

    workers.py METHOD       prints one JSON line per request line: "list", "pids"; ends with its stdin
"""

import asyncio
import json
import multiprocessing
import os
import sys

from libpresence import Presence

CONFIGURATION = {"cluster": "workers", "listen": sys.argv[2], "join": [sys.argv[2]], "heartbeat_ms": 200}


async def worker(pipe):
    async with Presence(**CONFIGURATION) as users:
        with users.owner() as owner:
            users.track(owner, "room", str(os.getpid()))
            loop = asyncio.get_running_loop()
            while await loop.run_in_executor(None, pipe.recv):
                pipe.send(sorted(await users.list("room")))


def run(pipe):
    try:
        asyncio.run(worker(pipe))
    except EOFError:
        pass


def ask(pipe):
    try:
        pipe.send(True)
        return pipe.recv()
    except (EOFError, OSError):
        return None


def main():
    context = multiprocessing.get_context(sys.argv[1])
    pipes, processes = [], []
    for _ in range(4):
        ours, theirs = context.Pipe()
        process = context.Process(target=run, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    for line in sys.stdin:
        request = line.strip()
        answer = [process.pid for process in processes] if request == "pids" else [ask(pipe) for pipe in pipes]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

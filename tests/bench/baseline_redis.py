"""The same load on Redis, as people do presence with it: HSET topic key meta, then PUBLISH topic change.

usage: baseline_redis.py    starts redis-server on a socket of its own and stops it

Commands are encoded ahead and answers only counted or not even parsed, so this is Redis, its socket and one process,
and no client library. Times are wall time: the work is in the server.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time

TOPIC_ENTRIES = 10
COUNT = 20000


def report(name, value, unit):
    print("redis." + name, f"{value:.6g}", unit, sep="\t", flush=True)


def command(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb", 1 << 20)

    def answer(self):
        line = self.file.readline()
        if line[:1] == b"-":
            sys.exit(line.decode())
        if line[:1] == b"$" and int(line[1:]) >= 0:
            return self.file.read(int(line[1:]) + 2)[:-2]
        if line[:1] == b"*":
            return [self.answer() for _ in range(int(line[1:]))]
        return line[1:-2]

    def call(self, data, answers=1):
        self.socket.sendall(data)
        for _ in range(answers - 1):
            self.answer()
        return self.answer()

    def used_memory(self):
        info = self.call(command("INFO", "memory")).decode()
        return int(info.split("used_memory:")[1].split()[0])


def start(folder):
    path = os.path.join(folder, "redis.sock")
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    for _ in range(500):
        if os.path.exists(path) or server.poll() is not None:
            break
        time.sleep(0.01)
    return server, path


def presences(count):
    for i in range(count):
        yield f"room:{i // TOPIC_ENTRIES:08}", f"u{i:010}", f'{{"status":"online","at":{1000000000 + i},"d":1}}'


def change(topic, key, meta, verb="HSET"):
    said = f'{{"joins":{{"{key}":{{"metas":[{meta}]}}}},"leaves":{{}}}}'
    stored = (verb, topic, key, meta) if verb == "HSET" else (verb, topic, key)
    return command(*stored) + command("PUBLISH", topic, said)


def rate(redis, name, commands):
    begin = time.monotonic()
    for data in commands:
        redis.call(data, 2)
    report(name, len(commands) / (time.monotonic() - begin), "/s")


def calls(redis):
    everybody = list(presences(COUNT))
    before = redis.used_memory()
    rate(redis, "track", [change(*presence) for presence in everybody])
    report("memory", (redis.used_memory() - before) / COUNT, "B")
    rate(redis, "update", [change(topic, key, meta.replace("online", "absent")) for topic, key, meta in everybody])
    rate(redis, "untrack", [change(*presence, verb="HDEL") for presence in everybody])


def lists(redis):
    everybody = list(presences(10000))
    for size, rounds in ((100, 500), (10000, 20)):
        topic = f"list:{size}"
        redis.call(b"".join(command("HSET", topic, key, meta) for _, key, meta in everybody[:size]), size)
        redis.socket.sendall(command("HGETALL", topic))
        answer = redis.socket.recv(1 << 22)
        while answer.count(b"\r\n") < 4 * size + 1:
            answer += redis.socket.recv(1 << 22)
        begin = time.monotonic()
        for _ in range(rounds):
            redis.socket.sendall(command("HGETALL", topic))
            left = len(answer)
            while left:
                left -= len(redis.socket.recv(left))
        report(f"list.{size}", (time.monotonic() - begin) / rounds * 1e6, "us")
    begin = time.monotonic()
    data = b"".join(change("list:10000", key, meta, verb="HDEL") for _, key, meta in everybody)
    redis.socket.sendall(data)
    for _ in range(2 * len(everybody)):
        redis.answer()
    report("untrack_owner.10000", (time.monotonic() - begin) * 1e6, "us")


def latency(path, count=300):
    """One process publishes what it stores, another is subscribed."""
    reader = Connection(path)
    reader.call(command("SUBSCRIBE", "latency"))
    writer = os.fork()
    if writer == 0:
        redis = Connection(path)
        for i in range(count):
            time.sleep(0.005)
            meta = str(time.monotonic_ns())
            redis.call(command("HSET", "latency", f"k{i}", meta) + command("PUBLISH", "latency", meta), 2)
        os._exit(0)
    took = sorted((time.monotonic_ns() - int(meta)) / 1e6 for meta in (reader.answer()[2] for _ in range(count)) if meta)
    os.waitpid(writer, 0)
    report("latency.p50", took[count // 2], "ms")
    report("latency.p99", took[count * 99 // 100], "ms")


def main():
    with tempfile.TemporaryDirectory() as folder:
        server, path = start(folder)
        try:
            redis = Connection(path)
            calls(redis)
            lists(redis)
            latency(path)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()

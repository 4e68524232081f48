"""Hosts that can be cut off from each other: network namespaces on one bridge, all of them made and removed here.

A drop is a blackhole route: what is sent is lost without a word, as it is on the way to a host that is gone.
"""

import contextlib
import os
import subprocess


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


class Host:
    def __init__(self, network, index):
        self.name, self.address = f"{network.prefix}h{index}", f"10.77.0.{index + 1}"
        self.command = ["ip", "netns", "exec", self.name]  # becomes the program: one pid, its signals
        self._network, self._link, self._dropped = network, f"{network.prefix}v{index}", set()
        ip("netns", "add", self.name)
        ip("link", "add", self._link, "netns", network.bridge, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("-n", network.bridge, "link", "set", self._link, "master", "bridge")
        ip("-n", network.bridge, "link", "set", self._link, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def drop(self, to):
        """what this host sends to that one is lost"""
        if to.address not in self._dropped:
            ip("-n", self.name, "route", "add", "blackhole", to.address)
            self._dropped.add(to.address)

    def pass_on(self, to):
        if to.address in self._dropped:
            ip("-n", self.name, "route", "del", "blackhole", to.address)
            self._dropped.discard(to.address)

    def unplug(self):
        ip("-n", self._network.bridge, "link", "set", self._link, "down")

    def plug(self):
        ip("-n", self._network.bridge, "link", "set", self._link, "up")


class Network:
    """with Network() as network: network.host() …; nothing of it is left afterwards"""

    def __init__(self):
        self.prefix, self.hosts = f"lp{os.getpid()}", []
        self.bridge = f"{self.prefix}br"

    def __enter__(self):
        ip("netns", "add", self.bridge)
        ip("-n", self.bridge, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.bridge, "link", "set", "bridge", "up")
        return self

    def __exit__(self, *_):
        for name in [host.name for host in self.hosts] + [self.bridge]:
            ip("netns", "del", name, check=False)

    def host(self):
        host = Host(self, len(self.hosts))
        self.hosts.append(host)
        return host

    def heal(self):
        for one in self.hosts:
            one.plug()
            for other in self.hosts:
                one.pass_on(other)


def why_not():
    """None, or why no namespaces can be made here: found out by trying"""
    try:
        with Network() as network:
            network.host()
    except FileNotFoundError:
        return "there is no ip command (iproute2)"
    except subprocess.CalledProcessError as error:
        return error.stderr.strip() or str(error)
    finally:
        with contextlib.suppress(Exception):
            ip("netns", "del", f"lp{os.getpid()}br", check=False)
    return None

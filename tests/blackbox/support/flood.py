# SPDX-License-Identifier: MIT
"""Loops of clients that never log in, in a process of their own.

Flood(port, kind, loops, addresses) starts it; 'kind' is a key of KINDS. Each loop connects again as
soon as its connection is over, from its own of the addresses (127.0.0.x). Key exchanges are canned:
they cost this side next to nothing.
"""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

BANNER = b"SSH-2.0-flood\r\n"
NEWKEYS = 21


def packet(payload):
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + 1 + padding, padding) + payload + b"\0" * padding


def name_list(text):
    return struct.pack(">I", len(text)) + text


def key_exchange(algorithm=b"curve25519-sha256", share=b"\x09" + b"\0" * 31):
    """Banner, KEXINIT and the client's share, which the agent answers to the end with NEWKEYS."""
    cipher, mac = b"aes128-ctr", b"hmac-sha2-256-etm@openssh.com"
    lists = [algorithm, b"ssh-ed25519", cipher, cipher, mac, mac, b"none", b"none", b"", b""]
    kexinit = b"\x14" + b"\0" * 16 + b"".join(map(name_list, lists)) + b"\0" * 5
    return BANNER + packet(kexinit) + packet(b"\x1e" + name_list(share))


async def read_until(link, condition):
    """Reads until condition(all bytes), or the end; returns whether the condition came true."""
    loop, text = asyncio.get_running_loop(), b""
    while not condition(text):
        chunk = await loop.sock_recv(link, 4096)
        if not chunk:
            return False
        text += chunk
    return True


def never(_):
    return False


def newkeys_came(text):
    """Walks over the agent's packets in the clear."""
    at = text.find(b"\n") + 1
    while at and len(text) >= at + 6:
        if text[at + 5] == NEWKEYS:
            return True
        at += 4 + struct.unpack_from(">I", text, at)[0]
    return False


async def leave(link):
    return True


async def greet(link):
    return await read_until(link, lambda text: text)


async def stay(link):
    return await read_until(link, never)


async def greet_and_stay(link):
    await asyncio.get_running_loop().sock_sendall(link, BANNER)
    return await read_until(link, never)


async def exchange_keys(link):
    await asyncio.get_running_loop().sock_sendall(link, key_exchange())
    return await read_until(link, newkeys_came)


async def exchange_keys_and_stay(link):
    await exchange_keys(link)
    return await read_until(link, never)


KINDS = {
    "leaves": leave,
    "reads the greeting": greet,
    "stays silent": stay,
    "greets and stays": greet_and_stay,
    "exchanges keys": exchange_keys,
    "exchanges keys and stays": exchange_keys_and_stay,
}


async def one_loop(port, action, address, counts):
    loop = asyncio.get_running_loop()
    while True:
        with socket.socket() as link, contextlib.suppress(OSError):
            link.setblocking(False)
            link.bind((address, 0))
            await loop.sock_connect(link, ("127.0.0.1", port))
            counts[1 - bool(await action(link))] += 1
        await asyncio.sleep(0)


async def main(port, kind, loops, addresses):
    counts = [0, 0]
    tasks = [
        asyncio.create_task(one_loop(port, KINDS[kind], addresses[i % len(addresses)], counts))
        for i in range(loops)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until it is closed
    for task in tasks:
        task.cancel()
    times = os.times()
    print(counts[0], counts[1], times.user + times.system)


class Flood:
    """Runs until close(), which sets 'finished' (times that the kind did all it wanted),
    'cut_off' (other ends) and 'cpu' (seconds that this side spent)."""

    def __init__(self, port, kind, loops, addresses):
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__), str(port), kind, str(loops), *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self):
        text, _ = self.process.communicate(timeout=60)
        words = text.split()
        self.finished, self.cut_off, self.cpu = int(words[0]), int(words[1]), float(words[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))

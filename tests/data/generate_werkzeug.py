#!/usr/bin/env python3
r"""Print what werkzeug 3.1.9's ProxyFix answers, as a table of JSON lines.

How to run it, in this folder (the script must not be called `werkzeug.py`, or
it would import itself instead of the library):

    python -m venv VENV    (a folder outside the repository)
    VENV/bin/pip install werkzeug==3.1.9
    VENV/bin/python generate_werkzeug.py > werkzeug-3.1.9.jsonl

The output depends on nothing but this file and werkzeug: no clock, no random
numbers, no network.

Each line is one request, and the environ that the wrapped application sees:

counts   the arguments of ProxyFix without their `x_`: how many proxies are
         trusted to have set each field. A missing key is 0 (werkzeug's own
         defaults, 1 for `for` and `proto`, are never used).
peer     REMOTE_ADDR as it comes in, the address of the TCP connection.
mount    SCRIPT_NAME as it comes in.
headers  the header lines, in order, as [name, value]. A string holds one
         character per byte (latin-1, as PEP 3333 has it): a byte C3 is
         "\u00c3". Values are given raw: blanks at either end, which many HTTP
         servers strip, are kept.
answer   what comes out: REMOTE_ADDR, scheme (wsgi.url_scheme), HTTP_HOST
         (null if there is none), SERVER_PORT and SCRIPT_NAME.

What else comes in is the same on every line: wsgi.url_scheme "http",
SERVER_NAME "app.internal", SERVER_PORT "80". Lines of one name, in any case,
are joined with a bare "," into one environ value, as werkzeug's own
development server does (WSGIRequestHandler.make_environ).
"""

import json
import sys
from importlib.metadata import version
from itertools import product

from werkzeug.middleware.proxy_fix import ProxyFix

WERKZEUG = "3.1.9"
PEER = "10.0.0.2"
FIELDS = ("for", "proto", "host", "port", "prefix")
FOR, PROTO, HOST, PORT, PREFIX = (
    "X-Forwarded-" + name for name in ("For", "Proto", "Host", "Port", "Prefix")
)


def ask(counts, peer, mount, headers):
    """What ProxyFix makes of one request."""
    environ = {
        "REMOTE_ADDR": peer,
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "app.internal",
        "SERVER_PORT": "80",
        "SCRIPT_NAME": mount,
    }
    for name, value in headers:
        value.encode("latin-1")  # raises if it could not be a header's value
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value

    counts = {f"x_{field}": counts.get(field, 0) for field in FIELDS}
    ProxyFix(lambda environ, start_response: [], **counts)(environ, None)
    return {
        "REMOTE_ADDR": environ["REMOTE_ADDR"],
        "scheme": environ["wsgi.url_scheme"],
        "HTTP_HOST": environ.get("HTTP_HOST"),
        "SERVER_PORT": environ["SERVER_PORT"],
        "SCRIPT_NAME": environ["SCRIPT_NAME"],
    }


def case(counts, *fields, host="app.internal", peer=PEER, mount=""):
    """One request. `fields` are (name, value) pairs; the value is a string, a
    list of strings (one header line each), or None (no such header). `host` is
    the Host header, or None."""
    headers = []
    for name, value in (("Host", host), *fields):
        lines = [value] if isinstance(value, str) else value or []
        headers += [[name, line] for line in lines]
    counts = {field: count for field, count in counts.items() if count}
    return {"counts": counts, "peer": peer, "mount": mount, "headers": headers}


# ---------------------------------------------------------- X-Forwarded-For

# From the client's own claim (first) to the nearest proxy (last).
CHAIN = ["1.2.3.4", "203.0.113.9", "2001:db8::7", "10.0.0.9"]

# What may stand in one element. Proxies write the bare addresses; some (Azure,
# IIS) add a port; the rest is what clients forge or RFC 7239 names.
ELEMENTS = [
    "5.6.7.8", "5.6.7.8:4711", "2001:db8::1", "2001:DB8:0:0::1", "[2001:db8::1]",
    "[2001:db8::1]:4711", "::ffff:5.6.7.8", "fe80::1%eth0", "127.0.0.1",
    "127.0.0.1:80", "::1", "[::1]:80", "192.168.1.20", "0.0.0.0", "5.6.7.008",
    "5.6.7", "256.1.1.1", "84281096", "unknown", "_hidden", "garbage", "localhost",
    "for=5.6.7.8", "5.6.7.8;proto=https", "5.6.7.8 9.9.9.9", "<script>",
    "caf\u00c3\u00a9",
]

EMPTIES = [
    "", ",", ",,", ", ,", ",1.2.3.4", ", 1.2.3.4", "1.2.3.4,", "1.2.3.4, ",
    "1.2.3.4,,", "1.2.3.4,,5.6.7.8", "1.2.3.4, ,5.6.7.8", "1.2.3.4,\t,5.6.7.8",
    "1.2.3.4, 5.6.7.8,", ",1.2.3.4,,5.6.7.8,", ", , 1.2.3.4, , 5.6.7.8, ,", '""',
    '"",1.2.3.4', '1.2.3.4,""', '1.2.3.4,"",5.6.7.8', '1.2.3.4," "',
]

BLANKS = [
    " ",
    "\t",
    " 1.2.3.4",
    "1.2.3.4 ",
    "\t1.2.3.4\t",
    " \t 1.2.3.4 \t ",
    "1.2.3.4 ,5.6.7.8",
    "1.2.3.4\t,\t5.6.7.8",
    " 1.2.3.4 , 5.6.7.8 ",
    "1.2.3.4,   5.6.7.8",
    "1.2.3.4 5.6.7.8",
    "1.2. 3.4, 5.6.7.8",
    "\u00a01.2.3.4",  # no-break space: blank to str.strip(), not to HTTP
    "1.2.3.4,\u00a05.6.7.8",
    "1.2.3.4\u0085, 5.6.7.8",  # next line: likewise
]

QUOTES = [
    '"1.2.3.4"',
    ' "1.2.3.4" ',
    '" 1.2.3.4 "',
    '"1.2.3.4", 5.6.7.8',
    '1.2.3.4, "5.6.7.8"',
    '"1.2.3.4", "5.6.7.8"',
    '"1.2.3.4, 5.6.7.8"',
    '9.9.9.9, "1.2.3.4, 5.6.7.8"',
    '"1.2.3.4, 5.6.7.8", 9.9.9.9',
    '"[2001:db8::1]:4711"',
    '"',
    '"1.2.3.4',
    '1.2.3.4"',
    '"1.2.3.4, 5.6.7.8',
    '1.2.3.4, "5.6.7.8',
    '1.2.3.4, 5.6.7.8"',
    '1.2.3.4", 5.6.7.8',
    '1.2.3.4", "5.6.7.8',
    '1.2"."3.4, 5.6.7.8',
    '1.2","3.4, 5.6.7.8',
    '"1.2.3.4"x, 5.6.7.8',
    '"1.2.3.4""5.6.7.8"',
    '"1.2.3.4" "5.6.7.8"',
    '"\\1.2.3.4", 5.6.7.8',
    '"1.2.3.4\\"", 5.6.7.8',
    '"1.2.3.4\\", 5.6.7.8',
    '"1.2.3.4\\\\", 5.6.7.8',
    '1.2.3.4\\, 5.6.7.8',
    '\\"1.2.3.4\\", 5.6.7.8',
    '\\1.2.3.4, 5.6.7.8',
    "'1.2.3.4', 5.6.7.8",
    "'1.2.3.4, 5.6.7.8'",
]

LINES = [
    ["1.2.3.4", "5.6.7.8"],
    ["1.2.3.4, 5.6.7.8", "10.0.0.9"],
    ["1.2.3.4", "5.6.7.8, 10.0.0.9"],
    ["1.2.3.4", "5.6.7.8", "10.0.0.9"],
    ["", "1.2.3.4"],
    ["1.2.3.4", ""],
    ["", ""],
    ["1.2.3.4", "", "5.6.7.8"],
    ["1.2.3.4,", ",5.6.7.8"],
    [" 1.2.3.4 ", "\t5.6.7.8"],
    ["1.2.3.4", "unknown"],
    ["garbage", "5.6.7.8"],
    ['"1.2.3.4', '5.6.7.8"'],  # opened on one line, closed on the next
    ['"1.2.3.4', "5.6.7.8"],  # an attacker's open quote, before the proxy's line
    ["1.2.3.4", '"5.6.7.8'],
    ["1.2.3.4\\", "5.6.7.8"],
]


def for_cases():
    for length, count, peer in product(range(5), range(4), (PEER, "::1")):
        chain = CHAIN[len(CHAIN) - length :]
        value = ", ".join(chain) if chain else None
        yield case({"for": count}, (FOR, value), peer=peer)
    for length, count in product((2, 3, 4), (1, 2, 3)):
        yield case({"for": count}, (FOR, ",".join(CHAIN[-length:])))
    for element in ELEMENTS:
        yield case({"for": 1}, (FOR, element))
        yield case({"for": 1}, (FOR, f"1.2.3.4, {element}"), peer="::1")
        yield case({"for": 2}, (FOR, f"1.2.3.4, {element}, 10.0.0.9"))
    for element in ELEMENTS[:6]:
        yield case({"for": 2}, (FOR, element))
        for count in (1, 2):
            yield case({"for": count}, (FOR, f"{element}, 10.0.0.9"))
    for value, count in product(EMPTIES + BLANKS + QUOTES + LINES, (1, 2)):
        yield case({"for": count}, (FOR, value))
    for value in EMPTIES[-11:] + LINES[1:4]:
        yield case({"for": 3}, (FOR, value))
    # HTTP/2 has names in lower case; the case must not split one field in two.
    for count in (1, 2):
        yield case({"for": count}, (FOR.lower(), "1.2.3.4, 5.6.7.8"))
        yield case({"for": count}, (FOR, "1.2.3.4"), (FOR.lower(), "5.6.7.8"))


# -------------------------------------------------------- X-Forwarded-Proto

PROTOS = [
    None, "", "http", "https", "HTTPS", "Https", " https ", '"https"', '"https', "ws",
    "wss", "javascript", "https:", "https://evil.example/", "on", "https http",
    "h\u00e9", "https, http", "http, https", "HTTPS,HTTP", "javascript, https",
    "https, javascript", "https,", ",https", "https,,http", ",", '"https,http"',
    '"https, http', '"", https', 'https, ""', "https, http, wss", ["https", "http"],
    ["http", "https"], ["", "https"], ["https", ""], ['"https', "http"],
]


def proto_cases():
    for value in PROTOS[:8]:
        yield case({}, (PROTO, value))
    for value, count in product(PROTOS, (1, 2)):
        yield case({"proto": count}, (PROTO, value))


# --------------------------------------------------------- X-Forwarded-Host

INCOMING_HOSTS = ["app.internal", "app.internal:8080", "[::1]:8080", None]

HOSTS = [
    None, "", "example.com", "example.com:8443", "example.com:443", "EXAMPLE.com",
    "Example.COM:8443", "example.com.", "example.com.:8443", "example.com:",
    "example.com:abc", "example.com:99999", ":8443", "203.0.113.9",
    "203.0.113.9:8443", "[2001:db8::1]", "[2001:db8::1]:8443", "2001:db8::1",
    "[2001:db8::1", "user:pw@evil.example", "user@evil.example:8443",
    "evil.example/path", "evil.example:8443/path", "http://evil.example",
    "evil.example?q#f", "ev il.example", "<script>", "b\u00fccher.example",
    " example.com ", '"example.com:8443"',
]

HOST_LISTS = [
    "example.com, proxy.internal",
    "example.com:8443, proxy.internal",
    "example.com, proxy.internal:8080",
    "EXAMPLE.com,PROXY.internal:8080",
    "[2001:db8::1]:8443, [2001:db8::2]",
    "evil.example/path, example.com",
    "example.com,",
    ",example.com",
    "example.com,,proxy.internal",
    ",",
    '"evil.example, example.com',
    '"example.com, proxy.internal"',
    "a.example, example.com, proxy.internal:8080",
    ["example.com", "proxy.internal:8080"],
    ["", "example.com"],
]


def host_cases():
    for value, host in product(HOSTS[:17], INCOMING_HOSTS):
        yield case({"host": 1}, (HOST, value), host=host)
    for value, host in product(HOSTS[17:], INCOMING_HOSTS[1:3]):
        yield case({"host": 1}, (HOST, value), host=host)
    for value, count in product(HOSTS[:17], (0, 2)):
        yield case({"host": count}, (HOST, value))
    for value, count in product(HOST_LISTS, (1, 2)):
        yield case({"host": count}, (HOST, value), host="app.internal:8080")
    yield case({}, (HOST, HOST_LISTS[0]), host="app.internal:8080")


# --------------------------------------------------------- X-Forwarded-Port

PORTS = ["443", "80", "8443", "0", "65535", "65536", "080", "-1", "+443", "https"]
PORTS += ["443x", "4 43", "[::1]", "", " 8443 ", '"8443"', '"8443', '""']

PORT_LISTS = ["8443, 443", "8443,", ",8443", ",", "junk, 8443", "8443, junk"]
PORT_LISTS += ["1, 8443, 443", '"8443, 443"', ["8443", "443"], ["", "443"]]

# For what the port does to a host: each as Host, and as X-Forwarded-Host.
PORT_HOSTS = ["example.com", "example.com:8443", "[2001:db8::1]"]
PORT_HOSTS += ["[2001:db8::1]:8443", "2001:db8::1", "example.com:", "a:b@c"]


def port_cases():
    for value, host in product([None] + PORTS, INCOMING_HOSTS):
        yield case({"port": 1}, (PORT, value), host=host)
    for value, host in product(PORTS[:8], PORT_HOSTS[:4]):
        yield case({"host": 1, "port": 1}, (HOST, host), (PORT, value))
    for host in PORT_HOSTS:
        yield case({"port": 1}, (PORT, "443"), host=host)
        yield case({"port": 1}, (HOST, host), (PORT, "443"))
        yield case({"host": 1}, (HOST, host), (PORT, "443"))
        for count in (1, 2):
            counts = {"host": count, "port": count}
            yield case(counts, (HOST, host), (PORT, "443"), host=None)
            yield case(counts, (HOST, f"{host}, b.example:81"), (PORT, "443, 82"))
    for value, count in product(PORT_LISTS, (1, 2)):
        yield case({"port": count}, (PORT, value), host="app.internal:8080")
    for value in (PORTS[0], PORT_LISTS[0]):
        yield case({}, (PORT, value), host="app.internal:8080")
    for value, host in product(PORT_LISTS[:6], PORT_HOSTS[:2]):
        yield case({"host": 1, "port": 2}, (HOST, host), (PORT, value))


# ------------------------------------------------------- X-Forwarded-Prefix

PREFIXES = [
    None, "", "/app", "/app/", "/app//", "/", "app", "//evil", "//evil.example/x",
    "http://evil.example/", "/\\evil", "/a/../b", "/a/./b", "/..", "/a%2fb",
    "/caf%C3%A9", "/caf\u00c3\u00a9", "/a%", "/a b", "/a?q=1", "/a#f", "/a;b",
    " /app ", '"/app"', '"/a,b"', '"/app', '""',
]

PREFIX_LISTS = [
    "/app, /proxy", "/app,/proxy/", "/, /proxy", "/app, /", "//evil, /app", "/app,",
    ",/app", "/app,,/proxy", ",", '"//evil, /app', "/x, /app, /proxy",
    ["/app", "/proxy"], ["", "/app"],
]


def prefix_cases():
    for value, mount in product(PREFIXES, ("", "/old")):
        yield case({"prefix": 1}, (PREFIX, value), mount=mount)
    for value, count in product(PREFIXES[:7], (0, 2)):
        yield case({"prefix": count}, (PREFIX, value), mount="/old")
    for value, count in product(PREFIX_LISTS, (1, 2)):
        yield case({"prefix": count}, (PREFIX, value), mount="/old")
    yield case({}, (PREFIX, PREFIX_LISTS[0]), mount="/old")


# ------------------------------------------------------- all five together

# What two proxies append, the outer first; ONE is behind a single proxy, and
# FORGED has the client's own claims in front.
ONE = ["203.0.113.9", "https", "example.com:8443", "8443", "/app"]
TWO = ["203.0.113.9, 10.0.0.9", "https, http", "example.com, proxy.internal:8080"]
TWO += ["443, 8080", "/app, /proxy"]
FORGED = ["1.2.3.4, 203.0.113.9", "javascript, https", "evil.example, example.com"]
FORGED += ["1, 443", "//evil, /app"]
NAMES = (FOR, PROTO, HOST, PORT, PREFIX)


def mixed_cases():
    for counts in product((1, 2), repeat=5):
        for values in (ONE, TWO):
            yield case(dict(zip(FIELDS, counts)), *zip(NAMES, values))
    for count, values in product(range(4), (ONE, TWO, FORGED)):
        bases = (("app.internal:8080", PEER, "/old"), (None, "::1", ""))
        for host, peer, mount in bases:
            counts = dict.fromkeys(FIELDS, count)
            fields = zip(NAMES, values)
            yield case(counts, *fields, host=host, peer=peer, mount=mount)
    # werkzeug's default counts; one field trusted, one field missing
    for values in (ONE, TWO, FORGED):
        yield case({"for": 1, "proto": 1}, *zip(NAMES, values))
    for index, field in enumerate(FIELDS):
        yield case({field: 1}, *zip(NAMES, FORGED))
        fields = list(zip(NAMES, TWO))
        yield case(dict.fromkeys(FIELDS, 2), *fields[:index], *fields[index + 1 :])


def main():
    if version("werkzeug") != WERKZEUG:
        sys.exit(f"this table is of werkzeug {WERKZEUG}, not {version('werkzeug')}")
    sys.stdout.reconfigure(encoding="ascii", newline="\n")
    groups = (for_cases, proto_cases, host_cases, port_cases, prefix_cases, mixed_cases)
    seen = set()
    for group in groups:
        for row in group():
            key = json.dumps(row, sort_keys=True)
            if key in seen:  # two groups may come upon the same request
                continue
            seen.add(key)
            row["answer"] = ask(**row)
            print(json.dumps(row, separators=(",", ":")))


if __name__ == "__main__":
    main()

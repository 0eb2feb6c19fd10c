"""The corpus of hostile requests: the exact bytes to send, and the responses that are allowed."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from dataclasses import dataclass
from urllib.parse import quote

HOST = b"Host: test\r\n"
"""Header of every request. A test inserts the header with its key after it."""


@dataclass(frozen=True)
class Case:
    """A request that no client should send."""

    name: str
    data: bytes
    statuses: tuple[int, ...]
    """All statuses that the responses may have."""
    answers: int = 1
    """Maximum number of responses. One more shows a smuggled request."""
    silent: bool = False
    """True if the server may close the connection without a response."""
    cut: bool = False
    """True if the client closes its side after the request."""


def get(target: str, *headers: str, method: str = "GET") -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"{method} {target} HTTP/1.1\r\n".encode("latin-1") + HOST + f"{lines}\r\n".encode("latin-1")


def post(body: bytes, *headers: str, path: str = "/v1/recipes") -> bytes:
    length = f"Content-Length: {len(body)}"
    return get(path, "Content-Type: application/json", length, *headers, method="POST") + body


def raw_post(headers: bytes, body: bytes) -> bytes:
    """Return a POST request with this body. `headers` must contain its framing."""
    return b"POST /v1/recipes HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body


def filled(head: str, item: str, tail: str, size: int) -> bytes:
    """Return `head`, `item` repeated up to `size` bytes in total, and `tail`. `%x` in `item` becomes its number."""
    items, length = [], len(head) + len(tail)
    while length < size:
        items.append(item % len(items) if "%" in item else item)
        length += len(items[-1])
    return (head + "".join(items).removesuffix(",") + tail).encode()


RECIPE = b'{"shape":[2],"scheme":"zeros"}'
CHUNK = b"%x\r\n%s\r\n" % (len(RECIPE), RECIPE)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(RECIPE)
END = b"0\r\n\r\n"
NEXT = b"GET /readyz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
FILE = "/v1/weights?shape=1000&scheme=ones"
_MUCH = 400_000
"""Bytes of a large body: it can contain 100,000 faults, and pydantic allocates a kilobyte for each."""
_OK = (200, 201)

# Requests whose end proxies and servers may see in different places (RFC 9112 sections 6 and 11.2).
_SMUGGLING = [
    ("length and chunked", LENGTH + CHUNKED, CHUNK + END + NEXT),
    ("chunked and length", CHUNKED + LENGTH, CHUNK + END + NEXT),
    ("chunked and length 0", CHUNKED + b"Content-Length: 0\r\n", CHUNK + END + NEXT),
    ("chunked twice", CHUNKED * 2, CHUNK + END),
    ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", CHUNK + END),
    ("identity", b"Transfer-Encoding: identity\r\n", CHUNK + END),
    ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", CHUNK + END),
    ("xchunked", b"Transfer-Encoding: xchunked\r\n", CHUNK + END),
    ("quoted chunked", b'Transfer-Encoding: "chunked"\r\n', CHUNK + END),
    ("chunked behind a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", CHUNK + END),
    ("space before the colon", b"Transfer-Encoding : chunked\r\n", CHUNK + END),
    ("space before the name", b" Transfer-Encoding: chunked\r\n", CHUNK + END),
    ("folded coding", b"Transfer-Encoding:\r\n chunked\r\n", CHUNK + END),
    ("folded header", LENGTH + b"X: a\r\n b\r\n", RECIPE),
    ("lengths that differ", LENGTH + b"Content-Length: 1\r\n", RECIPE),
    ("lengths that agree", LENGTH * 2, RECIPE),
    ("list of lengths", b"Content-Length: 30, 30\r\n", RECIPE),
    ("length with a sign", b"Content-Length: +30\r\n", RECIPE),
    ("length below zero", b"Content-Length: -1\r\n", RECIPE),
    ("hexadecimal length", b"Content-Length: 0x1e\r\n", RECIPE),
    ("length with an underscore", b"Content-Length: 3_0\r\n", RECIPE),
    ("empty length", b"Content-Length: \r\n", RECIPE),
    ("length in other digits", "Content-Length: \u0663\u0660\r\n".encode(), RECIPE),
    ("length beyond 64 bits", b"Content-Length: 99999999999999999999999\r\n", RECIPE),
    ("chunk size beyond 64 bits", CHUNKED, b"f" * 17 + b"\r\n" + RECIPE + b"\r\n" + END),
    ("chunk size below zero", CHUNKED, b"-1\r\n" + RECIPE + b"\r\n" + END),
    ("chunk size with a prefix", CHUNKED, b"0x1e\r\n" + RECIPE + b"\r\n" + END),
    ("chunk size with a space", CHUNKED, b"1e \r\n" + RECIPE + b"\r\n" + END),
    ("chunk size that is none", CHUNKED, b"\r\n" + RECIPE + b"\r\n" + END),
    ("chunk without its end", CHUNKED, b"1e\r\n" + RECIPE + END),
    ("chunk size ended by a line feed", CHUNKED, b"1e\n" + RECIPE + b"\n0\n\n"),
    ("extension ended by a line feed", CHUNKED, b"1e;a\n" + RECIPE + b"\r\n" + END),
]
_LINES = [
    ("nothing but zeros", b"\0" * 64),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("bare line feeds", b"GET /livez HTTP/1.1\nHost: test\n\n"),
    ("one bare line feed", b"GET /livez HTTP/1.1\r\nHost: test\nX: y\r\n\r\n"),
    ("bare carriage return", b"GET /livez HTTP/1.1\r\nHost: test\rX: y\r\n\r\n"),
    ("NUL in the target", b"GET /li\0vez HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("NUL in a header", b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n"),
    ("NUL in a name", b"GET /livez HTTP/1.1\r\n" + HOST + b"X\0: a\r\n\r\n"),
    ("control characters", b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\x01\x7fb\r\n\r\n"),
    ("header without a name", b"GET /livez HTTP/1.1\r\n" + HOST + b": x\r\n\r\n"),
    ("header without a colon", b"GET /livez HTTP/1.1\r\n" + HOST + b"x\r\n\r\n"),
    ("tabs in the line", b"GET\t/livez\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    ("no version", b"GET /livez\r\n\r\n"),
    ("HTTP/0.9", b"GET /livez HTTP/0.9\r\n\r\n"),
    ("HTTP/2.0", b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n"),
    ("HTTP/1.10", b"GET /livez HTTP/1.10\r\n" + HOST + b"\r\n"),
    ("unknown method", b"HACK /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("method in small letters", b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("no host", b"GET /livez HTTP/1.1\r\n\r\n"),
    ("two hosts", b"GET /livez HTTP/1.1\r\n" + HOST * 2 + b"\r\n"),
    ("authority target", b"CONNECT evil:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("target without a slash", b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("absolute target without a path", b"GET http://evil HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("absolute target that is none", b"GET http://[/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("target in UTF-8", b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("query with a control character", b"GET /livez?\x01 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("target of 200 kB", get("/" + "a" * 200_000)),
    ("10^5 parameters", get("/v1/weights?" + "&".join(f"a{n}" for n in range(100_000)))),
]
_PATHS = [
    *("/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/v1/../../etc/passwd", "/v1/recipes/%00", "/%252e%252e"),
    *("/%c0%ae%c0%ae/", "/%ff", "/%ed%a0%80", "/%", "/%zz", "//livez", "/./livez", "/LIVEZ", "/livez/", "/livez;x=y"),
    *("/livez%2f", "/v1/recipes/..%2f..%2fkeys.json", "/v1/recipes/" + "0" * 64 + "%0a", "/v1//weights", "/\\..\\..\\"),
    *("/" + "a" * 10_000, "/v1/" + "a/" * 5000, "/v1/recipes/" + "%41" * 3333, "/" + "%2e%2e/" * 1500 + "etc/passwd"),
    *("/v1/recipes/" + "A" * 64, "/v1/recipes/" + "a" * 60_000, "/%e2%80%ae%0d%0aX:%20y", "/" + "eyJ" * 20_000),
]
_RANGES = [
    *("bytes=99999999999999999999999-", "bytes=0-" + "9" * 5000, "bytes=-" + "9" * 5000, "bytes=-0", "bytes=5-1"),
    *("bytes=--1", "bytes=-1-", "bytes=0x1-2", "bytes=1_0-", "bytes=\xb2-", "bytes=+1-", "bytes= 0 - 1", "bytes=,,,"),
    *("bytes=" + "0-0," * 15_000, "bytes=" + ",".join(f"{n}-{n}" for n in range(5000)), "bytes", "=", "items=0-1", ""),
]
_CONDITIONS = [
    *(f"{name}: {value}" for name in ("If-Match", "If-None-Match") for value in ('"', '"a', "W/", '"a" "b"', "\xff")),
    'If-None-Match: "a"' + " " * 60_000 + "x",
    "If-Match: " + '"a", ' * 10_000 + '"',
    "If-Range: " + "x" * 60_000,
    "If-Modified-Since: " + "9" * 5000,
    "If-Unmodified-Since: Thu, 99 Foo 99999 99:99:99 GMT",
]
_HEADERS = [
    *("Origin: null", "Origin: \xff\xfe", "Origin: https://evil.example", "Origin: " + "x" * 60_000),
    *(
        "X-Request-ID: a b",
        "X-Request-ID: \x1b[2J\xff",
        "X-Request-ID: " + "x" * 60_000,
        'X-Request-ID: "}{"level":"ERROR"',
    ),
    *(
        "traceparent: 00-" + "0" * 32 + "-" + "0" * 16 + "-00",
        "traceparent: " + "f" * 60_000,
        "tracestate: " + "a=b," * 9000,
    ),
    *(
        "baggage: " + "a=b," * 9000,
        "Cookie: " + "a=b;" * 9000,
        "X-Forwarded-For: " + "1.1.1.1," * 7000,
        "Forwarded: for=\xff",
    ),
    *(
        "Accept-Encoding: " + "gzip," * 9000,
        "Accept: " + "*/*," * 9000,
        "Expect: 200-ok",
        "TE: trailers, \xff",
        "Connection: \xff",
    ),
    *(
        "Proxy: x",
        "X-HTTP-Method-Override: DELETE",
        "Max-Forwards: 99999999999",
        "Keep-Alive: timeout=-1",
        "Upgrade: h2c",
    ),
    "\r\n".join(f"X{n}: y" for n in range(5000)),
    "\r\n".join(["Accept: x"] * 5000),
]
_QUERIES = [
    *(
        "a&" * 25_000,
        "&".join(f"a{n}" for n in range(8000)),
        "shape=2&seed=3&seed=4&scheme=zeros",
        "=&=&=",
        "%00=%00",
        "%ff",
        "%",
    ),
    "scheme=zeros&shape=" + "1," * 30_000,
    "scheme=zeros&shape=" + "a," * 30_000,
    "scheme=zeros&shape=" + "9007199254740991," * 8 + "1",
    "scheme=he_normal&shape=2&in_axes=" + "a," * 30_000,
    "scheme=zeros&shape=2&seed=" + "9" * 60_000,
    *(
        f"scheme=zeros&shape=2&seed={seed}"
        for seed in ("-1", "18446744073709551616", "1e3", "0x1", "%D9%A3", "NaN", "null")
    ),
    *(
        f"scheme=constant&shape=2&value={value}"
        for value in ("NaN", "Infinity", "1e400", "-1e400", "0x1p3", "1_0", "%F0%9F")
    ),
    *(
        f"scheme={quote(name)}&shape=2"
        for name in ("\u202e", "\0", "../../etc/passwd", "__class__", "{}", "%s%n", "a" * 18_000)
    ),
]
_NAMES = ["\0", "\x1b[2J", "\u0085", "__metadata__", "x" * 1025, ""]
_BODIES = [
    ("nothing", b""),
    ("not UTF-8", b"\xff\xfe{\x00}\x00"),
    ("overlong UTF-8", b'{"shape":[2],"scheme":"\xc0\xae"}'),
    ("a lone surrogate", rb'{"tensors":{"\ud800":{"shape":[2],"scheme":"zeros"}}}'),
    ("a surrogate as scheme", rb'{"shape":[2],"scheme":"\udfff"}'),
    *(
        (f"the name {name[:9]!a}", json.dumps({"tensors": {name: {"shape": [2], "scheme": "zeros"}}}).encode())
        for name in _NAMES
    ),
    *((f"{depth} deep", b"[" * depth + b"]" * depth) for depth in (10, 500, 990, 1000, 100_000)),
    *(
        (f"a tensor {depth} deep", b'{"tensors":{"a":' + b"[" * depth + b"]" * depth + b"}}")
        for depth in (150, 330, 900, 990)
    ),
    ("objects 10^5 deep", b'{"a":' * 100_000),
    ("NaN", b'{"shape":[2],"scheme":"constant","value":NaN}'),
    ("1e400", b'{"shape":[2],"scheme":"constant","value":1e400}'),
    ("10^5 digits", b'{"shape":[2],"scheme":"constant","value":' + b"9" * 100_000 + b"}"),
    ("10^5 digits behind the point", b'{"shape":[2],"scheme":"constant","value":0.' + b"9" * 100_000 + b'e-9,"x":0}'),
    ("a seed of 10^5 digits", b'{"shape":[2],"scheme":"zeros","seed":"' + b"9" * 100_000 + b'"}'),
    ("a seed too large", b'{"shape":[2],"scheme":"zeros","seed":18446744073709551616}'),
    ("a name twice", b'{"shape":[2],"shape":[3],"scheme":"zeros"}'),
    ("a size that overflows", b'{"shape":[' + b"9007199254740991," * 7 + b'2],"scheme":"zeros"}'),
    ("prototype", b'{"__proto__":{},"constructor":{},"shape":[2],"scheme":"zeros"}'),
    ("40,000 tensors", filled('{"tensors":{', '"%x":0,', "}}", _MUCH)),
    ("10,000 tensors without a scheme", filled('{"tensors":{', '"%x":{"shape":["",""]},', "}}", _MUCH)),
    ("400 kB of wrong axes", filled('{"scheme":"zeros","shape":[', '"",', "]}", _MUCH)),
    ("400 kB of wrong kernel axes", filled('{"scheme":"he_normal","shape":[2],"in_axes":[', '"",', "]}", _MUCH)),
    ("400 kB of fields", filled('{"scheme":"zeros","shape":[2],', '"%x":0,', "}", _MUCH)),
    ("400 kB of fields around", filled('{"tensors":{},', '"%x":0,', "}", _MUCH)),
    ("repetitions", filled('{"tensors":{"a":[', '{"a":0,"a":0},', "]}}", _MUCH)),
    ("400 kB of lists", filled('{"tensors":[', "[],", "]}", _MUCH)),
    ("long names", filled('{"tensors":{', '"%x' + "n" * 1020 + '":{},', "}}", _MUCH)),
]
_BOMB = gzip.compress(bytes(64 << 20))
_CODINGS = [
    ("gzip", _BOMB),
    ("deflate", zlib.compress(bytes(1 << 20))),
    ("br", _BOMB),
    ("zstd", _BOMB),
    ("gzip, gzip", _BOMB),
]

CASES = [
    *(Case(f"framing: {name}", raw_post(headers, body), (400,)) for name, headers, body in _SMUGGLING),
    *(Case(f"line: {name}", data, (400, 414), silent=True) for name, data in _LINES),
    *(Case(f"path: {path[:40]}", get(path), (400, 404)) for path in _PATHS),
    *(Case(f"range: {each[:40]!a}", get(FILE, f"Range: {each}"), (200, 206, 416)) for each in _RANGES),
    Case("two ranges", get(FILE, "Range: bytes=0-1", "Range: bytes=2-3"), (200,)),
    *(Case(f"condition: {each[:40]!a}", get(FILE, each), (200, 412)) for each in _CONDITIONS),
    *(Case(f"header: {each[:40]!a}", get("/v1/schemes", each), (200, 400)) for each in _HEADERS),
    *(Case(f"query: {each[:40]!a}", get(f"/v1/weights?{each}"), (400, 422)) for each in _QUERIES),
    *(Case(f"body: {name}", post(body), (422,)) for name, body in _BODIES),
    *(Case(f"weights: {name}", post(body, path="/v1/weights"), (422,)) for name, body in _BODIES if len(body) < _MUCH),
    *(Case(f"coding: {name}", post(body, f"Content-Encoding: {name}"), (415,)) for name, body in _CODINGS),
    Case("body: 9 MB", post(bytes(9 << 20)), (413,)),
    Case(
        "odd chunks that are right", raw_post(CHUNKED, b'1E;a=b;c="d"\r\n' + RECIPE + b"\r\n000\r\nX: y\r\n\r\n"), _OK
    ),
    Case("a trailer that would rule", raw_post(CHUNKED, CHUNK + b"0\r\nAuthorization: x\r\nHost: y\r\n\r\n"), _OK),
    Case("absolute target", get("http://evil.example/v1/schemes"), (200,)),
    Case("host that is none", b"GET /nothing HTTP/1.1\r\nHost: [::\r\n\r\n", (404, 401)),
    Case("asterisk", get("*", method="OPTIONS"), (400, 404)),
    Case("CONNECT with a path", get("/v1/schemes", method="CONNECT"), (400, 405)),
    Case("TRACE", get("/v1/schemes", "Cookie: x", method="TRACE"), (405,)),
    Case("websocket", get("/v1/schemes", "Connection: Upgrade", "Upgrade: websocket"), (200,)),
    Case("h2c with a body", post(RECIPE, "Connection: Upgrade", "Upgrade: h2c"), _OK),
    Case("h2c with a wrong body", raw_post(CHUNKED + b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"xx\r\n"), (400,)),
    Case("100-continue", post(RECIPE, "Expect: 100-continue"), (100, *_OK), answers=2),
    Case("good, then bad", get("/v1/schemes") + b"\0\r\n\r\n" + NEXT, (200,)),
    Case("a body where none belongs", get("/v1/schemes", f"Content-Length: {len(NEXT)}") + NEXT, (200,)),
    Case("half a body", post(RECIPE)[:-5], (400,), silent=True, cut=True),
    Case("half a chunk", raw_post(CHUNKED, CHUNK[:-9]), (400,), silent=True, cut=True),
]


def token(head: object, claims: object = None, signature: bytes = bytes(256)) -> str:
    """Return a text in the form of a JSON web token. A part that is bytes is not encoded as JSON."""
    parts = (head, {"iss": "x", "aud": "fanin", "sub": "x", "exp": 1 << 40} if claims is None else claims, signature)
    texts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts)
    return ".".join(base64.urlsafe_b64encode(text).rstrip(b"=").decode() for text in texts)


_HEAD = {"alg": "RS256", "typ": "JWT", "kid": "first"}
_ELSEWHERE = "http://127.0.0.1:1/keys"
_TOKENS = [
    *(token({**_HEAD, "alg": alg}) for alg in ("none", "None", "", "HS256", "RS999", 7, None, [], {}, ["RS256"])),
    *(
        token({**_HEAD, "kid": kid})
        for kid in ("", "curve", "x" * 5000, "../../etc/passwd", "\0", 7, None, [], {}, True)
    ),
    *(token({**_HEAD, name: _ELSEWHERE}) for name in ("jku", "x5u", "iss")),
    *(
        token({**_HEAD, name: value})
        for name, value in (("crit", ["b64"]), ("crit", 7), ("b64", False), ("zip", "DEF"))
    ),
    token({**_HEAD, "jwk": {"kty": "oct", "k": "AAAA", "kid": "first"}}),
    *(
        token(head)
        for head in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 3000, b'{"alg":"RS256","alg":"none","kid":"first"}')
    ),
    *(token(_HEAD, claims) for claims in (b"", b"[]", b"\xff", b"[" * 3000, {}, {"exp": "soon"}, {"exp": 1e308})),
    *(token(_HEAD, None, signature) for signature in (b"", b"\0", bytes(255), bytes(257), b"\xff" * 256)),
    token(_HEAD).replace(".", ".."),
    token(_HEAD) + ".",
    token(_HEAD).replace("A", "=", 3),
    "e30.e30." + "A" * 8000,
]
CREDENTIALS = [
    *(
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic dXNlcjpwYXNz",
        "Token x",
        "Bearer x y",
        "Bearer " + "x" * 60_000,
        "Bearer \xff",
        "\xff",
    ),
    *("Bearer fanin_", "Bearer fanin_" + "0" * 12 + "_" + "0" * 64, "Bearer FANIN_" + "0" * 12 + "_" + "0" * 64),
    *(
        "Bearer fanin_" + "\xb2" * 12 + "_" + "0" * 64,
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer eyJ.eyJ.",
        "Bearer " + "." * 8000,
    ),
    *(f"Bearer {each}" for each in _TOKENS),
]
"""Values of Authorization that belong to no client."""

_HELLO = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03"
NO_TLS = [
    get("/livez"),
    b"\0" * 1000,
    b"\xff" * 100_000,
    b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),  # SSL 2
    _HELLO,
    _HELLO + bytes(229),
    _HELLO + b"\xff" * 229,
    b"\x16\x03\x01\xff\xff" + b"a" * 70_000,
    b"\x16\x03\x01\x00\x00" * 1000,
    b"\x18\x03\x02\x00\x03\x01\x40\x00",  # a heartbeat whose length exceeds its content
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x17\x03\x03\x40\x00" + bytes(1 << 14),
    b"\x14\x03\x01\x00\x01\x01",
]
"""Bytes that do not begin a TLS connection."""

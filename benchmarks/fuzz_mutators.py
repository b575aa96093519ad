"""Mutations of files, drawn from a generator: of bytes, of lines, of JSON values, of tables and of archives."""

from __future__ import annotations

import copy
import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Mutator = Callable[[bytes, Random], bytes]

_ODD_TEXTS = (
    "", " ", "\0", "\ufeff", "\u202egnp.exe", "a\u0301\u0301\u0301", "\x1b[2J\x1b]0;title\x07", "\r", "\u2028",
    "<script>", "{{ 7*7 }}", "${HOME}", "%s%n%d", "=1+1", "' OR 1=1 --", "../../../../etc/passwd", "/etc/passwd", "C:\\x", "file:///etc/passwd",
    "\\\\host\\share", "~root", "null", "NaN", "1e999", "-1", "0x41", "1_000", "１２３", "ａ", "\U0001f4a9" * 50, "x" * 5000,
    "(a+)+$", "((((((((((", "@", ":", "::", "/", "a/b.c.d", "models:/x/1", "module:function", "os:system", "name@split",
)  # fmt: skip
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**30), 0.5, -0.0, 1e-320, 1e308, float("nan"),
    float("inf"), [], {}, [[]], [None], {"": None}, {"a": {"b": {"c": {}}}}, list(range(300)), "\ud800", "2" * 5000,
)  # fmt: skip


# -- bytes --


def flip_bytes(data: bytes, random: Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(data or b"x")
    for _ in range(random.choice((1, 2, 8, 64))):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """Cut the end off."""
    return data[: random.randrange(len(data) + 1)]


def remove_slice(data: bytes, random: Random) -> bytes:
    """Cut a part out."""
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 7, 100)) :]


def repeat_slice(data: bytes, random: Random) -> bytes:
    """Repeat a part."""
    start = random.randrange(len(data) + 1)
    part = data[start : start + random.choice((1, 20, 200))]
    return data[:start] + part * random.choice((2, 10, 1000)) + data[start:]


def insert_bytes(data: bytes, random: Random) -> bytes:
    """Insert what is odd."""
    odd = random.choice(
        [*(t.encode("utf-8", "surrogatepass") for t in _ODD_TEXTS), b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80"]
    )
    start = random.randrange(len(data) + 1)
    return data[:start] + odd + data[start:]


def other_encoding(data: bytes, random: Random) -> bytes:
    """The same text in another encoding."""
    text = data.decode("utf-8", "replace")
    return text.encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")), "replace")


def something_else(data: bytes, random: Random) -> bytes:
    """No file of the kind at all."""
    del data
    return random.choice(
        (b"", b"\0" * 1000, b"\n" * 1000, b"PK\x03\x04", b"PAR1", b"PAR1PAR1", b"\x1f\x8b\x08", b"\x80\x04K\x01.", b"[]", b"{}",
         b"null", b"\x89PNG\r\n\x1a\n", b"[" * 100_000, b'{"a":' * 100_000, random.randbytes(500))
    )  # fmt: skip


BYTES: tuple[Mutator, ...] = (
    flip_bytes, truncate, remove_slice, repeat_slice, insert_bytes, other_encoding, something_else,
)  # fmt: skip


# -- lines --


def duplicate_line(data: bytes, random: Random) -> bytes:
    """A line twice: keys, rows, headers."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    return b"\n".join([*lines[:place], lines[place], *lines[place:]])


def shuffle_lines(data: bytes, random: Random) -> bytes:
    """Lines in another order."""
    lines = data.split(b"\n")
    random.shuffle(lines)
    return b"\n".join(lines)


def odd_word(data: bytes, random: Random) -> bytes:
    """A word or number replaced."""
    words = data.split(b" ")
    words[random.randrange(len(words))] = random.choice(_ODD_TEXTS).encode("utf-8", "surrogatepass")
    return b" ".join(words)


def indent(data: bytes, random: Random) -> bytes:
    """A line moved to the right or the left, or led by a tab."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    lines[place] = random.choice((b"  " + lines[place], lines[place].lstrip(), b"\t" + lines[place]))
    return b"\n".join(lines)


def yaml_trick(data: bytes, random: Random) -> bytes:
    """Tags, aliases that expand or refer to themselves, merges, documents, directives."""
    laughs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    tricks = (
        "a0: &a0 [x]\n" + laughs, "loop: &l [*l]", "loop: &l {k: *l}", "<<: {suite: x}", "<<: *missing", "--- \nsuite: other",
        "%YAML 9.9\n---", "%TAG ! tag:x,2000:\n---", "x: !!python/object/apply:os.system ['true']", "x: !!binary AAAA", "x: !!set {a}",
        "x: !!timestamp 2001-13-45", "x: 2001-01-01", "? [a, b]\n: c", "? {a: b}\n: c", "x: !<tag:yaml.org,2002:int> word", "x: 0o777",
        "x: " + "[" * 2000, "x: " + "{a: " * 500, "x: |\n" + " y\n" * 5000, "x: .nan", "x: 190:20:30", "x: &é é", "'x", '"\\ud800": 1',
        "x: " + "9" * 5000, "x: 1e99999",
    )  # fmt: skip
    trick = random.choice(tricks).encode()
    lines = data.split(b"\n")
    place = random.choice((0, random.randrange(len(lines) + 1), len(lines)))
    return b"\n".join([*lines[:place], trick, *lines[place:]])


LINES: tuple[Mutator, ...] = (duplicate_line, shuffle_lines, odd_word, indent)


# -- values --


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _places(item, (*path, key))
    return found


def odd_value(content: Any, random: Random) -> Any:
    """A copy of a JSON value with one to three parts replaced, removed, renamed, added, or wrapped."""
    content = copy.deepcopy(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(content)
        if not places:
            return random.choice(_ODD_VALUES)
        *above, last = random.choice(places)
        holder = content
        for key in above:
            holder = holder[key]
        odd = random.choice((*_ODD_VALUES, *_ODD_TEXTS))
        action = random.randrange(6)
        if action == 0:
            del holder[last]
        elif action == 1 and isinstance(holder, dict):
            holder[str(odd)] = holder.pop(last)
        elif action == 2 and isinstance(holder, list):
            holder.extend([holder[last]] * random.choice((1, 2, 300)))
        elif action == 3:
            holder[last] = random.choice(
                ([holder[last]], {"x": holder[last]}, str(holder[last]), _deep(random.choice((60, 900))))
            )
        else:
            holder[last] = odd
    return content


def _deep(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def as_json(data: bytes, random: Random) -> bytes:
    """A JSON document with odd values."""
    return dump(odd_value(json.loads(data), random))


def as_yaml(data: bytes, random: Random) -> bytes:
    """A YAML document with odd values."""
    content = odd_value(yaml.safe_load(data), random)
    if random.random() < 0.5:
        return dump(content)
    try:
        return yaml.safe_dump(content, allow_unicode=random.random() < 0.5, sort_keys=False).encode(
            "utf-8", "surrogatepass"
        )
    except (yaml.YAMLError, RecursionError):
        return dump(content)


def as_rows(data: bytes, random: Random) -> bytes:
    """JSON lines, some with odd values."""
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    for _ in range(random.choice((1, 3))):
        place = random.randrange(len(rows))
        rows[place] = odd_value(rows[place], random)
    if random.random() < 0.3:
        key = random.choice(sorted({key for row in rows if isinstance(row, dict) for key in row}))
        odd = random.choice((*_ODD_VALUES, *_ODD_TEXTS))
        rows = [{**row, key: odd} if isinstance(row, dict) else row for row in rows]
    return b"\n".join(map(dump, rows)) + b"\n"


def dump(content: Any) -> bytes:
    """JSON as lax writers write it: NaN, and numbers of any length."""
    try:
        return json.dumps(content, default=str).encode()
    except RecursionError:
        return b"[" * 5000
    except ValueError:  # more digits than Python writes
        return b'{"suite": ' + b"9" * 5000 + b"}"


# -- tables --


def _odd_column(length: int, random: Random) -> pa.Array:
    def of(kind: pa.DataType, value: Any) -> pa.Array:
        return pa.array([value] * length, kind)

    makers: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.nulls(length),
        lambda: of(pa.int64(), 2**62),
        lambda: of(pa.uint64(), 2**64 - 1),
        lambda: of(pa.float64(), float("nan")),
        lambda: of(pa.float32(), float("inf")),
        lambda: of(pa.decimal128(38, 10), Decimal("1.5")),
        lambda: pa.array([2**62] * length, pa.int64()).cast(pa.timestamp("us")),
        lambda: of(pa.duration("ns"), 5),
        lambda: of(pa.date32(), 2_000_000_000),
        lambda: of(pa.time64("ns"), 1),
        lambda: of(pa.binary(), b"\xff\x00"),
        lambda: of(pa.list_(pa.list_(pa.string())), [["x", None], None]),
        lambda: of(pa.struct([("a", pa.int8()), ("b", pa.struct([]))]), {"a": 1, "b": {}}),
        lambda: of(pa.map_(pa.string(), pa.int8()), [("a", 1), ("a", 2)]),
        lambda: pa.array(["x" * 1000] * length).dictionary_encode(),
        lambda: of(pa.bool_(), True),
        lambda: of(pa.string(), random.choice(_ODD_TEXTS)),
    )  # fmt: skip
    return random.choice(makers)()


def odd_parquet(data: bytes, random: Random) -> bytes:
    """A Parquet file with columns of odd types, names or numbers."""
    table = pq.read_table(io.BytesIO(data))
    for _ in range(random.choice((1, 2))):
        place = random.randrange(table.num_columns)
        name = table.column_names[place]
        column = _odd_column(len(table), random)
        action = random.randrange(4)
        if action < 2:
            table = table.set_column(place, name, column)
        elif action == 2:
            table = table.append_column(random.choice((name, "", "a.b", "\u202e", "id", "image", "weight")), column)
        else:
            table = table.rename_columns([random.choice((n, "x", "")) for n in table.column_names])
    if random.random() < 0.1:
        table = table.slice(0, 0)
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer)
    except pa.ArrowException:
        return flip_bytes(data, random)
    return buffer.getvalue()


def parquet_bomb(data: bytes, random: Random) -> bytes:
    """Few bytes, and many rows, values or characters."""
    del data
    return _parquet_bomb(random.choice((300_000, 30_000_000)), random.random() < 0.3, random.random() < 0.5)


@lru_cache
def _parquet_bomb(many: int, nested: bool, typed: bool) -> bytes:
    buffer = io.BytesIO()
    text = pa.array(["x" * 1_000_000 if many == 300_000 else "x"])
    indices = pa.array(np.zeros(many, np.int32))
    if nested:
        offsets = pa.array([0, many], pa.int32())
        table = pa.table({"id": ["0"], "output": pa.ListArray.from_arrays(offsets, pa.nulls(many, pa.int8()))})
    else:
        table = pa.table({"output": pa.DictionaryArray.from_arrays(indices, text)})
    pq.write_table(table, buffer, compression="zstd", store_schema=typed)
    return buffer.getvalue()


def odd_csv(data: bytes, random: Random) -> bytes:
    """A CSV file with an odd cell, quote or separator."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    cells = lines[place].split(b",")
    odd = random.choice((b'"', b"'", b"\0", b'"a\nb"', b",,,", b"1e999", b"nan", b"x" * 200_000, b";", b"\t", b"\r"))
    cells[random.randrange(len(cells))] = odd
    lines[place] = b",".join(cells)
    return b"\n".join(lines)


# -- archives --


def gzip_bomb(data: bytes, random: Random) -> bytes:
    """Half a megabyte that unpacks into half a gigabyte: one line, or lines without end."""
    row = b'{"id": "a", "output": "' + b"x" * 1000 + b'"}\n'
    return _packed(random.choice((b" " * 2**20, row * 1000, data + b'{"a": "' + b"x" * 2**20)))


@lru_cache
def _packed(part: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([packer.compress(part) for _ in range(512 * 2**20 // len(part))]) + packer.flush()


def odd_zip(data: bytes, random: Random) -> bytes:
    """A zip with members that lead out, are links, are there twice, lie about their size, or unpack without end."""
    buffer = io.BytesIO(data)
    odd = random.randrange(9)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        names = archive.namelist() or ["x"]
        if odd == 0:
            archive.writestr(
                random.choice(("../out.txt", "/tmp/out.txt", "..\\out.txt", "a/../../b", "C:out", "a\0b", "")), b"x"
            )
        elif odd == 1:
            link = zipfile.ZipInfo(random.choice(("link", random.choice(names))))
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        elif odd == 2:
            content = archive.read(random.choice(names))
            archive.writestr(zipfile.ZipInfo(random.choice(names)), content[: len(content) // 2])
        elif odd == 3:
            archive.writestr(random.choice(names) + "x", b"\0" * random.choice((10**6, 6 * 10**7)))
        elif odd == 4:
            for number in range(3000):
                archive.writestr(f"m{number}", b"")
        elif odd == 5:
            archive.comment = random.randbytes(random.choice((5, 60_000)))
    changed = bytearray(buffer.getvalue())
    central = changed.find(b"PK\x01\x02")
    if odd == 6 and central >= 0:
        offset = random.choice((8, 10, 16, 20, 24, 28, 42))  # flags, method, checksum, sizes, name's length, place
        struct.pack_into("<H", changed, central + offset, random.choice((1, 9, 93, 99, 65535)))
    elif odd == 7 and central >= 0:
        struct.pack_into("<I", changed, central + 24, random.choice((0, 2**31, 2**32 - 1)))
    elif odd == 8:
        return flip_bytes(bytes(changed), random)
    return bytes(changed)


def odd_members(data: bytes, random: Random) -> bytes:
    """A zip of which one member is mutated, with a right checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = random.choice(names)
        for name in names:
            content = old.read(name)
            if name == chosen:
                content = member(name, content, random)
            if name != chosen or random.random() < 0.9:
                new.writestr(name, content)
    return buffer.getvalue()


def member(name: str, content: bytes, random: Random) -> bytes:
    """A mutated member, by the suffix of its name."""
    if name.endswith(".json") and random.random() < 0.7:
        return as_json(content, random)
    if name.endswith((".yaml", "MLmodel")) and random.random() < 0.7:
        return random.choice((as_yaml, yaml_trick))(content, random)
    if name.endswith(".npy"):
        return odd_array(content, random)
    if name.endswith(".parquet") and random.random() < 0.7:
        return odd_parquet(content, random)
    return random.choice(BYTES)(content, random)


def odd_array(content: bytes, random: Random) -> bytes:
    """An array of NumPy's format with another shape or type than its bytes, or pickled."""
    shapes = ("(999999999999,)", "(-1,)", "()", "(0, 3)", "(2, 2, 2, 3)", "(1000000, 1000000, 3)", "'x'", "(" * 300)
    kinds = ("'|u1'", "'<f8'", "'|O'", "'<U1000000'", "'>i2'", "[('a', '|u1')]", "'|V0'")
    header = f"{{'descr': {random.choice(kinds)}, 'fortran_order': False, 'shape': {random.choice(shapes)}, }}"
    head = header.encode() + b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content[128:]


# -- images --


def png_bomb(data: bytes, random: Random) -> bytes:
    """A PNG whose header tells huge dimensions, or whose text unpacks without end."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = random.choice(((50_000, 50_000), (2**31 - 1, 1), (0, 0), (30_000, 30_000)))
    texts = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 50_000_000, 9)) if random.random() < 0.5 else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
    return data[:8] + head + texts + pixels + chunk(b"IEND", b"")

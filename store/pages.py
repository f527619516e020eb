"""Read rows out of the raw pages of a SQLite file, when SQLite itself will not: https://www.sqlite.org/fileformat2.html.

Nothing here trusts what it reads: a page that is no page yields nothing, a record that makes no sense is left out.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"SQLite format 3\0"
HEADER = 100
"""Bytes of the file's header, which lies before the first page's own."""
LEAF, INTERIOR = 0x0D, 0x05
"""How a page of a table begins, with rows or with references to other pages."""
MOST_CELLS = 1 << 15
WAL_MAGIC = (0x377F0682, 0x377F0683)
Value = int | float | str | bytes | None


class Pages:
    """The pages of a database as the last commit left them: what its log holds lies over the file."""

    def __init__(self, database: Path, page_size: int) -> None:
        """Open a file; page_size: bytes, in case the header does not tell. Raises OSError."""
        self._file = database.open("rb")
        head = self._file.read(HEADER)
        self.has_header = head[:16] == MAGIC
        (told,) = struct.unpack(">H", head[16:18]) if len(head) == HEADER else (0,)
        told = 65536 if told == 1 else told
        known = self.has_header and told >= 512 and told & (told - 1) == 0
        self.page_size = told if known else page_size
        self._usable = self.page_size - (head[20] if known and head[20] <= 32 else 0)
        self._file.seek(0, 2)
        self._count = self._file.tell() // self.page_size
        self._over, size = read_log(database.with_name(f"{database.name}-wal"), self.page_size)
        self._count = size or self._count

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def page(self, number: int) -> bytes:
        """Return a page, the first is 1; nothing where there is none or it cannot be read."""
        if number in self._over:
            return self._over[number]
        if not 1 <= number <= self._count:
            return b""
        try:
            self._file.seek((number - 1) * self.page_size)
            page = self._file.read(self.page_size)
        except OSError:  # a disk that is going
            return b""
        return page if len(page) == self.page_size else b""

    def kind(self, number: int) -> int:
        """Return the first byte of a page's own header, 0 for a page that is not there."""
        page = self.page(number)
        return page[HEADER if number == 1 else 0] if page else 0

    def free(self) -> set[int]:
        """Return the pages that are out of use: what they hold was deleted."""
        head, found = self.page(1), set[int]()
        trunk = struct.unpack(">I", head[32:36])[0] if head[:16] == MAGIC else 0
        while 0 < trunk <= self._count and trunk not in found:
            found.add(trunk)
            page = self.page(trunk)
            if not page:
                break
            trunk, count = struct.unpack(">II", page[:8])
            most = min(count, self._usable // 4 - 2)
            found.update(struct.unpack(f">{most}I", page[8 : 8 + 4 * most]))
        return found

    def leaves(self, root: int) -> Iterator[int]:
        """Yield the pages that hold the rows of a table, in order, as far as they can be reached from its root."""
        seen: set[int] = set()
        todo = [root]
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            kind = self.kind(number)
            if kind == LEAF:
                yield number
            elif kind == INTERIOR:
                todo += reversed(list(self._children(number)))

    def _children(self, number: int) -> Iterator[int]:
        page, start = self.page(number), HEADER if number == 1 else 0
        for offset in _cells(page, start, start + 12):
            if offset + 4 <= len(page):
                yield struct.unpack(">I", page[offset : offset + 4])[0]
        yield struct.unpack(">I", page[start + 8 : start + 12])[0]

    def rows(self, number: int) -> Iterator[tuple[int, list[Value]] | None]:
        """Yield (rowid, values) of each row of a leaf page, None for one that cannot be read."""
        page, start = self.page(number), HEADER if number == 1 else 0
        if not page or page[start] != LEAF:
            return
        for offset in _cells(page, start, start + 8):
            try:
                yield self._row(page, offset)
            except (IndexError, ValueError, struct.error):
                yield None

    def _row(self, page: bytes, offset: int) -> tuple[int, list[Value]]:
        size, offset = _varint(page, offset)
        rowid, offset = _varint(page, offset)
        rowid -= (rowid >> 63) << 64
        most = self._usable - 35
        if size <= most:
            payload = page[offset : offset + size]
        else:
            least = (self._usable - 12) * 32 // 255 - 23
            here = least + (size - least) % (self._usable - 4)
            here = here if here <= most else least
            payload = page[offset : offset + here]
            (following,) = struct.unpack(">I", page[offset + here : offset + here + 4])
            payload += self._overflow(following, size - here)
        if len(payload) != size:
            raise ValueError("a row is cut short")
        return rowid, list(_record(payload))

    def _overflow(self, number: int, size: int) -> bytes:
        """Return the rest of a row that is longer than a page."""
        parts, seen = [], set[int]()
        while size > 0 and number not in seen and (page := self.page(number)):
            seen.add(number)
            parts.append(page[4 : min(self._usable, 4 + size)])
            size -= len(parts[-1])
            (number,) = struct.unpack(">I", page[:4])
        return b"".join(parts)


def _cells(page: bytes, start: int, pointers: int) -> Iterator[int]:
    """Yield where the cells of a page begin."""
    (count,) = struct.unpack(">H", page[start + 3 : start + 5])
    count = min(count, MOST_CELLS, (len(page) - pointers) // 2)
    yield from struct.unpack(f">{count}H", page[pointers : pointers + 2 * count])


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where the next thing begins."""
    value = 0
    for _ in range(8):
        byte = data[offset]
        offset += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset
    return value << 8 | data[offset], offset + 1


_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS: dict[int, Value] = {0: None, 8: 0, 9: 1}
_FLOAT = 7


def _record(payload: bytes) -> Iterator[Value]:
    """Yield the values of a row; raises ValueError or IndexError where they do not fill it exactly."""
    end, at = _varint(payload, 0)
    value = end
    while at < end:
        code, at = _varint(payload, at)
        size = _INTEGERS.get(code, 8 if code == _FLOAT else (code - 12) // 2 if code >= 12 else 0)
        data = payload[value : value + size]
        value += size
        if len(data) != size:
            raise ValueError("a value is cut short")
        if code in _CONSTANTS:
            yield _CONSTANTS[code]
        elif code in _INTEGERS:
            yield int.from_bytes(data, "big", signed=True)
        elif code == _FLOAT:
            yield struct.unpack(">d", data)[0]
        elif code >= 12:
            yield data.decode("utf-8") if code % 2 else data
        else:
            raise ValueError("a value of no known kind")
    if at != end or value != len(payload):
        raise ValueError("a row is longer than its values")


def read_log(log: Path, page_size: int) -> tuple[dict[int, bytes], int]:
    """Return the newest committed version of each page in a write-ahead log, and how many pages the database has.

    Where there is no log that fits, there are no pages, and their number is 0.

    As SQLite does, it stops at the first frame whose checksum is wrong.
    """
    found: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    pages = 0
    try:
        file = log.open("rb")
    except OSError:
        return found, pages
    with file:
        head = file.read(32)
        if not is_log(head) or struct.unpack(">I", head[8:12])[0] != page_size:
            return found, pages
        order = ">" if head[3] & 1 else "<"
        sums = _checksum(head[:24], order, (0, 0))
        while len(frame := file.read(24 + page_size)) == 24 + page_size:
            sums = _checksum(frame[24:], order, _checksum(frame[:8], order, sums))
            if frame[8:16] != head[16:24] or struct.pack(">II", *sums) != frame[16:24]:
                break
            number, size = struct.unpack(">II", frame[:8])
            pending[number] = frame[24:]
            if size:  # a commit, and how many pages there are after it
                found |= pending
                pending, pages = {}, size
    return {n: page for n, page in found.items() if n <= pages}, pages


def is_log(head: bytes) -> bool:
    """Say whether 32 bytes are the header of a write-ahead log."""
    if len(head) < 32 or struct.unpack(">I", head[:4])[0] not in WAL_MAGIC:
        return False
    return struct.pack(">II", *_checksum(head[:24], ">" if head[3] & 1 else "<", (0, 0))) == head[24:32]


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, two in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second

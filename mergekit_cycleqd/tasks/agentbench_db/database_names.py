"""Find where a model's SQL names its database, which AgentBench names like the table.

On the server, an episode's database has a name of its own, so that episodes of one table can run
side by side. `UPDATE sales.sales`, `USE sales` and ``table_schema = 'sales'`` must reach it all
the same, while `sales.price` stays a column of the table.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# Quoted names, strings, comments, words, and single characters. Executable comments are read.
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|--(?=\s|$)[^\n]*|/\*(?!!|M!).*?(?:\*/|$)|/\*M?!\d*|\*/)
      | (?P<name>`(?:[^`]|``)*`)
      | (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      | (?P<word>[\w$]+)
      | (?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
# fmt: off
_BEFORE_TABLES = frozenset([
    "FROM", "JOIN", "STRAIGHT_JOIN", "INTO", "UPDATE", "TABLE", "TABLES", "DESC",
    "DESCRIBE", "EXPLAIN", "EXISTS", "INSERT", "REPLACE", "DELETE", "TRUNCATE", "VIEW",
    "LIKE", "REFERENCES", "IGNORE", "LOW_PRIORITY", "RENAME", "TO", "ON",
])
# fmt: on
_LISTS = frozenset(["TABLES", "STATUS", "TRIGGERS", "EVENTS"])  # SHOW ... FROM database
_SCHEMA_COLUMN = re.compile(r"`?\w*(?:schema|schema_name|db)`?", re.IGNORECASE)
_COMPARISONS = frozenset(["=", "<", ">", "LIKE", "!"])


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind in ("word", "sign") else ""

    @property
    def value(self) -> str:
        """The name or text that is meant, without quotes."""
        if self.kind == "name":
            return self.text[1:-1].replace("``", "`")
        return self.text[1:-1] if self.kind == "text" else self.text


_END = _Token("end", "", 0)


def with_real_name(sql: str, name: str, real: str, columns: Collection[str]) -> str:
    """Put the real name of a database where a statement names the database.

    Args:
        sql: One or several statements of a model.
        name: The name by which the model knows the database, and also the table in it.
        real: The name of the database on the server: letters and digits.
        columns: The table's columns, in lower case.
    """
    if name not in sql and name.replace("`", "``") not in sql:
        return sql
    tokens = [
        _Token(str(found.lastgroup), found[0], found.start())
        for found in _TOKEN.finditer(sql)
        if found.lastgroup != "space"
    ]
    reader = _Reader(tokens, name, columns)
    pieces, end = [], 0
    for i, token in enumerate(tokens):
        if reader.names_database(i):
            quote = token.text[0] if token.kind in ("name", "text") else ""
            pieces += [sql[end : token.start], quote, real, quote]
            end = token.start + len(token.text)
    return "".join([*pieces, sql[end:]])


@dataclass(frozen=True, slots=True)
class _Reader:
    tokens: Sequence[_Token]
    name: str
    columns: Collection[str]

    def names_database(self, i: int) -> bool:
        token = self.tokens[i]
        if token.kind not in ("name", "word", "text") or token.value != self.name:
            return False
        if token.kind == "text":
            return self._is_compared_with_schema(i)
        if self._at(i - 1).text == "." or (token.kind == "word" and token.text.isdigit()):
            return False
        return self._qualifies(i) if self._at(i + 1).text == "." else self._stands_for_database(i)

    def _at(self, i: int) -> _Token:
        return self.tokens[i] if 0 <= i < len(self.tokens) else _END

    def _qualifies(self, i: int) -> bool:
        """Whether `name.x` is a table x of the database, not a column x of the table."""
        if self._at(i + 3).text in (".", "("):  # name.table.column, name.function(...)
            return True
        x = self._at(i + 2).value
        is_column = x.lower() in self.columns
        if x == self.name and not is_column:
            return True
        return self._at(i - 1).upper in _BEFORE_TABLES and (x == self.name or not is_column)

    def _stands_for_database(self, i: int) -> bool:
        before = self._at(i - 1).upper
        if before in ("USE", "DATABASE", "SCHEMA"):
            return True
        if before == "EXISTS":  # DROP DATABASE IF EXISTS name
            kinds = [self._at(j).upper for j in range(i - 4, i - 1)]
            return "DATABASE" in kinds or "SCHEMA" in kinds
        if before in ("FROM", "IN"):
            words = self._statement_before(i)
            if words[:1] == ["SHOW"]:
                # of columns and keys, the table is named first: SHOW COLUMNS FROM table FROM name
                return bool(_LISTS & {*words}) or words.count("FROM") + words.count("IN") > 1
        return False

    def _statement_before(self, i: int) -> list[str]:
        words: list[str] = []
        while i > 0 and self.tokens[i - 1].text != ";":
            i -= 1
            words.insert(0, self.tokens[i].upper)
        return words

    def _is_compared_with_schema(self, i: int) -> bool:
        """Whether a text is compared with a column such as TABLE_SCHEMA, from either side."""
        if self._at(i + 1).text == "=":
            j = i + 2
            while self._at(j + 1).text == ".":
                j += 2
            return self._is_schema_column(j)
        j = i - 1
        if self._at(j).text in ("(", ","):  # TABLE_SCHEMA IN ('a', 'name')
            while self._at(j).text in ("(", ",") or self._at(j).kind == "text":
                j -= 1
            if self._at(j).upper != "IN":
                return False
            j -= 1
        elif self._at(j).upper not in _COMPARISONS:
            return False
        while self._at(j).upper in (*_COMPARISONS, "NOT"):
            j -= 1
        return self._is_schema_column(j)

    def _is_schema_column(self, i: int) -> bool:
        token = self._at(i)
        is_name = token.kind in ("word", "name")
        return is_name and _SCHEMA_COLUMN.fullmatch(token.text) is not None

"""A model's statements reach its database by the table's name, and end as AgentBench's do.

The replies are those of AgentBench v0.2's own client (mysql-connector-python 8.1 and 9.0, as the
benchmark calls it) on the same MariaDB, where the database is really named like the table.
"""

from __future__ import annotations

import contextlib

import pytest

from mergekit_cycleqd.tasks.agentbench_db.database import EpisodeDatabase, Table
from mergekit_cycleqd.tasks.agentbench_db.database_names import with_real_name
from mergekit_cycleqd.tasks.agentbench_db.mariadb import shared_server
from mergekit_cycleqd.tasks.agentbench_db.protocol import sql_observation
from tests.support.databases import needs_mariadb

COLUMNS = ("city", "year", "people")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE [sales].sales SET City = 'sales' WHERE sales.City = 'x'",
        "SELECT sales.City, [sales].sales.City FROM [sales].sales, sales s WHERE 1 = sales.Year",
        "SELECT sales.*, [sales].sales.* FROM `[sales]` . `sales`",
        "USE [sales]; USE `[sales]`;",
        "SELECT City FROM sales USE INDEX (sales)",
        "SHOW TABLES FROM [sales]; SHOW FULL TABLES IN `[sales]`; SHOW TABLE STATUS FROM [sales]",
        "SHOW COLUMNS FROM sales FROM [sales]; SHOW INDEX FROM [sales].sales; SHOW KEYS FROM sales",
        "DROP DATABASE IF EXISTS [sales]; CREATE SCHEMA IF NOT EXISTS [sales]; DROP TABLE sales",
        "DROP TABLE IF EXISTS sales; DROP TABLE IF EXISTS [sales].copy",
        "SELECT 1 FROM information_schema.tables WHERE table_schema = '[sales]'"
        " AND table_name = 'sales'",
        "SELECT 1 FROM x c WHERE c.TABLE_SCHEMA IN ('a', '[sales]') OR '[sales]' = `table_schema`",
        'SELECT 1 FROM x WHERE schema_name NOT LIKE "[sales]" AND City = "sales"',
        "INSERT INTO [sales].sales (City) VALUES ('sales.sales') -- sales.sales",
        "SELECT EXTRACT(YEAR FROM sales.year) /* sales.sales */ FROM /*! [sales].sales */ # x",
        "INSERT INTO sales VALUES (1) ON DUPLICATE KEY UPDATE sales.City = 2",
        "CREATE TABLE [sales].copy LIKE [sales].sales; CALL [sales].p(); SELECT sales.nope",
        "SELECT 'it''s sales.sales', 'a\\' sales.sales', `sales.sales`, Sales.Sales, xsales.sales",
    ],
)
def test_the_database_is_told_from_the_table_of_its_name(sql: str) -> None:
    plain = sql.replace("[", "").replace("]", "")
    real = sql.replace("[sales]", "real")
    assert with_real_name(plain, "sales", "real", COLUMNS) == real


def test_names_are_quoted_as_the_model_quotes_them() -> None:
    sql = "UPDATE `a``b``.c`.`a``b``.c` SET x = 1"
    assert with_real_name(sql, "a`b`.c", "real", ()) == "UPDATE `real`.`a``b``.c` SET x = 1"


def test_a_column_of_the_tables_name_stays_a_column() -> None:
    sql = "SELECT t.t, t.t.t FROM t.t WHERE t.T = 1"
    assert with_real_name(sql, "t", "real", ("t",)) == (
        "SELECT t.t, real.t.t FROM real.t WHERE t.T = 1"
    )
    assert (
        with_real_name("SELECT 7.7 FROM `7`.`7`", "7", "real", ()) == "SELECT 7.7 FROM `real`.`7`"
    )


SEVERAL = "Commands out of sync; you can't run this command now"
BEFORE = "[('Bern', '134000'), ('Ulm', '5')]"
DENIED = "denied to user 'dbbench'@"


def _all(people: int) -> str:
    return f"[('Bern', '{people}'), ('Ulm', '{people}')]"


@needs_mariadb
@pytest.mark.parametrize(
    ("turns", "after"),
    [
        ([("UPDATE tbl.tbl SET People = 1", "[]")], _all(1)),
        ([("USE tbl", "[]"), ("USE tbl; UPDATE tbl SET People = 2", SEVERAL)], BEFORE),
        ([("BEGIN; UPDATE tbl SET People = 3; COMMIT", SEVERAL)], _all(3)),
        ([("BEGIN; UPDATE tbl SET People = 3; COMMIT;", SEVERAL)], _all(3)),
        ([("BEGIN; UPDATE tbl SET People = 4", SEVERAL)], BEFORE),
        ([("UPDATE tbl SET People = 4; ROLLBACK;", SEVERAL)], BEFORE),
        ([("BEGIN", "[]"), ("UPDATE tbl SET People = 7;", "[]"), ("ROLLBACK", "[]")], _all(7)),
        ([("UPDATE tbl SET People = 5; SELEC", SEVERAL)], BEFORE),
        ([("LOCK TABLES tbl WRITE; UPDATE tbl SET People = 1; UNLOCK TABLES", SEVERAL)], _all(1)),
        ([("SELECT 1; SELECT 2", SEVERAL), ("SELECT 1;", "[(1,)]"), ("", "[]")], BEFORE),
        ([("CREATE PROCEDURE p() SELECT 1", "[]"), ("CALL p()", SEVERAL)], BEFORE),
        (
            [
                ("CREATE PROCEDURE tbl.q() UPDATE tbl SET People = 77", "[]"),
                ("CALL tbl.q()", "[]"),
            ],
            _all(77),
        ),
        (
            [("SELECT DATABASE()", "[('tbl',)]"), ("SELECT USER()", "[('dbbench@localhost',)]")],
            BEFORE,
        ),
        ([("SELECT * FROM nope", "1146 (42S02): Table 'tbl.nope' doesn't exist")], BEFORE),
        ([("SELECT nope FROM tbl.tbl", "1054 (42S22): Unknown column 'nope' in")], BEFORE),
        (
            [("INSERT INTO tbl.tbl VALUES ('dbbench', 'tbl.tbl')", "[]")],
            BEFORE[:-1] + ", ('dbbench', 'tbl.tbl')]",
        ),
        (
            [
                ("CREATE TABLE tbl.copy AS SELECT * FROM tbl", "[]"),
                ("SELECT COUNT(*) FROM tbl.copy", "[(2,)]"),
            ],
            BEFORE,
        ),
        ([("RENAME TABLE tbl.tbl TO tbl.b", "[]")], "1146 (42S02): Table 'tbl.tbl' doesn't exist"),
        ([("DROP DATABASE tbl", "[]")], "1049 (42000): Unknown database 'tbl'"),
        ([("SELECT * FROM mysql.user", "1142 (42000): SELECT command " + DENIED)], BEFORE),
        (
            [
                (
                    f"SELECT {'x' * 60} FROM {'y' * 6} tbl.tbl",
                    "1064 (42000): You have an error in your SQL",
                )
            ],
            BEFORE,
        ),
    ],
)
def test_statements_end_as_in_agentbench(turns: list[tuple[str, str]], after: str) -> None:
    table = Table("tbl", ("City", "People"), [["Bern", "134000"], ["Ulm", "5"]])
    with contextlib.closing(EpisodeDatabase(shared_server(), table)) as database:
        for sql, observed in turns:
            shown = sql_observation(database.execute(sql))
            assert shown.startswith(observed) and "episode" not in shown and "account" not in shown
        assert sql_observation(database.execute("SELECT * FROM tbl")) == after


@needs_mariadb
def test_two_episodes_of_one_table_do_not_meet() -> None:
    table = Table("tbl", ("a",), [["1"]])
    with (
        contextlib.closing(EpisodeDatabase(shared_server(), table)) as one,
        contextlib.closing(EpisodeDatabase(shared_server(), table)) as other,
    ):
        one.execute("UPDATE tbl.tbl SET a = 2")
        one.execute("DROP DATABASE tbl")
        assert sql_observation(other.execute("SELECT * FROM tbl.tbl")) == "[('1',)]"

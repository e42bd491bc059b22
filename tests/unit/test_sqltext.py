"""SQL text: parameters, kinds of statement, refusals and their hints."""

from __future__ import annotations

import pytest

from pgbgw.sqltext import Parameter, SqlError, parse


def error(text: str) -> SqlError:
    with pytest.raises(SqlError) as caught:
        parse(text)
    return caught.value


PARAMETERS = [
    ("SELECT 1", "SELECT 1", []),
    ("SELECT :a", "SELECT $1", ["a"]),
    ("SELECT :b, :a, :b;", "SELECT $1, $2, $1;", ["b", "a"]),
    ("SELECT :a, :A", "SELECT $1, $2", ["a", "A"]),
    ('SELECT \':a\', "x:b" FROM (SELECT 1 AS "x:b") s', None, []),
    ("SELECT $$ :a $$, $q$ :b $q$", None, []),
    ("SELECT E'\\':a', U&':b', B'01', X'1f' -- :c\n/* :d /* :e */ :f */", None, []),
    ("SELECT :a::int", "SELECT $1::int", ["a"]),
    ("SELECT CAST(:a AS date), extract(day FROM :b::date)", "SELECT CAST($1 AS date), extract(day FROM $2::date)",
     ["a", "b"]),
    ("SELECT '1'::int::text", None, []),
    ("SELECT :a.b FROM t", "SELECT $1.b FROM t", ["a"]),
    ("SELECT f(a => :a, b := :b, c:=:c)", "SELECT f(a => $1, b := $2, c:=$3)", ["a", "b", "c"]),
    ("CALL p(x := :name)", "CALL p(x := $1)", ["name"]),
    ("SELECT 'é', :é, :日本", "SELECT 'é', $1, $2", ["é", "日本"]),
    ("SELECT :e\u0301, :é", "SELECT $1, $1", ["é"]),
    ("SELECT :select, :table, :int", "SELECT $1, $2, $3", ["select", "table", "int"]),
    ("SELECT 1 LIMIT:n", "SELECT 1 LIMIT $1", ["n"]),
    ("SELECT 1 OFFSET:n LIMIT:m", "SELECT 1 OFFSET $1 LIMIT $2", ["n", "m"]),
    ("SELECT 1<:a, -:b, 1=:c, @:d, a||:e FROM t", "SELECT 1<$1, -$2, 1=$3, @$4, a||$5 FROM t", list("abcde")),
    ("SELECT x BETWEEN:a AND:b FROM t", "SELECT x BETWEEN $1 AND $2 FROM t", ["a", "b"]),
    ("SELECT now() AT TIME ZONE :zone", "SELECT now() AT TIME ZONE $1", ["zone"]),
    ("SELECT sum(x) OVER (ROWS :n PRECEDING) FROM t", "SELECT sum(x) OVER (ROWS $1 PRECEDING) FROM t", ["n"]),
    # square brackets
    ("SELECT a[:n] FROM t", "SELECT a[$1] FROM t", ["n"]),
    ("SELECT ARRAY[:a, :b, -:c]", "SELECT ARRAY[$1, $2, -$3]", ["a", "b", "c"]),
    ("SELECT ARRAY[:a AND :b OR NOT :c]", "SELECT ARRAY[$1 AND $2 OR NOT $3]", ["a", "b", "c"]),
    ("SELECT ARRAY[x LIKE :a, now() AT TIME ZONE :z]", "SELECT ARRAY[x LIKE $1, now() AT TIME ZONE $2]", ["a", "z"]),
    ("SELECT a[1:2], a[x:y], a[x :y], a[:], a[1:], a[: n] FROM t", None, []),
    ("SELECT a[1:n], a['1':n], a[f(x):n], a[b[1]:n], a[null:n] FROM t", None, []),
    ('SELECT a[case when true then 1 end:n], a["q":n] FROM t', None, []),
    ("SELECT a[:lo:hi] FROM t", "SELECT a[$1:hi] FROM t", ["lo"]),
    ("SELECT a[:lo : :hi] FROM t", "SELECT a[$1 : $2] FROM t", ["lo", "hi"]),
    ("SELECT a[1: :hi] FROM t", "SELECT a[1: $1] FROM t", ["hi"]),
    ("SELECT a[(:x)], a[f(:y)], a[1+:z] FROM t", "SELECT a[($1)], a[f($2)], a[1+$3] FROM t", ["x", "y", "z"]),
    ("SELECT a[1][:n] FROM t", "SELECT a[1][$1] FROM t", ["n"]),
    # the other colon of SQL
    ("SELECT json_object('k':v, 'l' : :w) FROM t", "SELECT json_object('k':v, 'l' : $1) FROM t", ["w"]),
    ("SELECT JSON_OBJECTAGG(k:v) FROM t", None, []),
    ("SELECT JSON_OBJECT(:k VALUE :v)", "SELECT JSON_OBJECT($1 VALUE $2)", ["k", "v"]),
    ("SELECT json_object(:k : f(:v))", "SELECT json_object($1 : f($2))", ["k", "v"]),
    ("SELECT json_object((x):y) FROM t", None, []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sql", "names"), PARAMETERS, ids=[case[0] for case in PARAMETERS])
def test_parameters(text: str, sql: str | None, names: list[str]) -> None:
    parsed = parse(text)
    assert parsed.text == text
    assert parsed.sql == (text if sql is None else sql)
    assert [parameter.name for parameter in parsed.parameters] == names


def test_parameter_offsets_are_characters_of_the_first_use() -> None:
    parsed = parse("SELECT 'éé', :b, :a, :b")
    assert parsed.parameters == (Parameter("b", 13), Parameter("a", 17))


def test_original_offset() -> None:
    parsed = parse("SELECT 'é', :first LIMIT:second -- é")
    assert parsed.sql == "SELECT 'é', $1 LIMIT $2 -- é"
    assert parsed.original_offset(0) == 0
    assert parsed.original_offset(parsed.sql.index("é")) == 8
    assert parsed.original_offset(parsed.sql.index("$1") + 1) == parsed.text.index(":first")
    assert parsed.original_offset(parsed.sql.index("LIMIT")) == parsed.text.index("LIMIT")
    assert parsed.original_offset(parsed.sql.index("$2")) == parsed.text.index(":second")
    assert parsed.original_offset(len(parsed.sql)) == len(parsed.text)


KINDS = [
    # text, command, flags: r(ead only) R(eturns rows) o(utside a block) p(arameters)
    ("SELECT 1", "SELECT", "rRp"),
    ("select f(:x)", "SELECT", "rRp"),
    ("/* c */ SELECT 1 -- c\n;;", "SELECT", "rRp"),
    ("((SELECT 1) UNION SELECT 2)", "SELECT", "rRp"),
    ("TABLE t", "SELECT", "rRp"),
    ("VALUES (1), (2)", "VALUES", "rRp"),
    ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT", "rRp"),
    ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) TABLE a", "SELECT", "rRp"),
    ("SELECT 1 FROM t FOR UPDATE", "SELECT", "Rp"),
    ("SELECT 1 FROM t FOR NO KEY UPDATE SKIP LOCKED", "SELECT", "Rp"),
    ("SELECT 1 FROM t FOR KEY SHARE", "SELECT", "Rp"),
    ("SELECT * FROM (SELECT 1 FROM t FOR SHARE) s", "SELECT", "Rp"),
    ("SELECT (SELECT 1 FROM t FOR UPDATE)", "SELECT", "Rp"),
    ("SELECT 1 WHERE EXISTS (SELECT FROM t FOR UPDATE)", "SELECT", "Rp"),
    ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "SELECT", "Rp"),
    ("SELECT * FROM (WITH a AS (SELECT 1 FROM t FOR UPDATE) TABLE a) s", "SELECT", "Rp"),
    ("SELECT 1 UNION (WITH a AS (INSERT INTO t VALUES (1) RETURNING 1) TABLE a)", "SELECT", "Rp"),
    ("WITH a AS (MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING 1) TABLE a", "SELECT", "Rp"),
    ("SELECT 1 INTO t", "SELECT", "p"),
    ("SELECT 1 INTO t UNION SELECT 2", "SELECT", "p"),
    ("INSERT INTO t VALUES (:a)", "INSERT", "p"),
    ("INSERT INTO t VALUES (1) RETURNING *", "INSERT", "Rp"),
    ("WITH a AS (SELECT 1) INSERT INTO t TABLE a", "INSERT", "p"),
    ("UPDATE t SET a = 1", "UPDATE", "p"),
    ("UPDATE t SET a = 1 RETURNING a", "UPDATE", "Rp"),
    ("DELETE FROM t", "DELETE", "p"),
    ("DELETE FROM t RETURNING 1", "DELETE", "Rp"),
    ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "MERGE", "p"),
    ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING 1", "MERGE", "Rp"),
    ("CALL p(:a)", "CALL", "p"),
    ("DO $$ BEGIN COMMIT; END $$", "DO", ""),
    ("EXPLAIN SELECT :a", "EXPLAIN", "Rp"),
    ("EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN ANALYZE", "Rp"),
    ("EXPLAIN CREATE TABLE t AS SELECT :a", "EXPLAIN", "Rp"),
    ("EXPLAIN CREATE MATERIALIZED VIEW t AS SELECT 1", "EXPLAIN", "R"),
    ("EXPLAIN EXECUTE x(1)", "EXPLAIN", "R"),
    ("SHOW work_mem", "SHOW", "R"),
    ("FETCH 1 FROM c", "FETCH", "R"),
    ("MOVE 1 FROM c", "MOVE", ""),
    ("DECLARE c CURSOR FOR SELECT :a", "DECLARE", "p"),
    ("PREPARE x AS SELECT 1", "PREPARE", ""),
    ("EXECUTE x(1)", "EXECUTE", ""),
    ("CREATE TABLE t AS SELECT :a", "CREATE TABLE", "p"),
    ("CREATE TEMP TABLE t AS SELECT 1", "CREATE TABLE", "p"),
    ("CREATE TABLE t AS EXECUTE x", "CREATE TABLE", ""),
    ("CREATE MATERIALIZED VIEW t AS SELECT 1", "CREATE MATERIALIZED VIEW", ""),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH MATERIALIZED VIEW", ""),
    ("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", "CREATE FUNCTION", ""),
    ("CREATE UNIQUE INDEX ON t (a)", "CREATE INDEX", ""),
    ("CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1", "CREATE VIEW", ""),
    ("CREATE SCHEMA s CREATE TABLE t (a int)", "CREATE SCHEMA", ""),
    ("CREATE FOREIGN DATA WRAPPER w", "CREATE FOREIGN DATA WRAPPER", ""),
    ("DROP FOREIGN TABLE t", "DROP FOREIGN TABLE", ""),
    ("DROP TEXT SEARCH PARSER p", "DROP TEXT SEARCH PARSER", ""),
    ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO u", "ALTER DEFAULT PRIVILEGES", ""),
    ("ALTER TABLE t ADD COLUMN a int", "ALTER TABLE", ""),
    ("ALTER TABLE t DETACH PARTITION u", "ALTER TABLE", ""),
    ("ALTER TABLE t DETACH PARTITION u FINALIZE", "ALTER TABLE", ""),
    ("ALTER TYPE e ADD VALUE 'x'", "ALTER TYPE", ""),
    ("ALTER DATABASE d SET work_mem = 1", "ALTER DATABASE", ""),
    ("ALTER DATABASE d RENAME TO e", "ALTER DATABASE", ""),
    ("ALTER DATABASE d WITH ALLOW_CONNECTIONS true", "ALTER DATABASE", ""),
    ("DROP INDEX i", "DROP INDEX", ""),
    ("REINDEX TABLE t", "REINDEX", ""),
    ("REINDEX (CONCURRENTLY off) TABLE t", "REINDEX", ""),
    ("CLUSTER t", "CLUSTER", ""),
    ("ANALYZE t", "ANALYZE", ""),
    ("TRUNCATE t", "TRUNCATE", ""),
    ("LOCK TABLE t", "LOCK", ""),
    ("NOTIFY c, 'x'", "NOTIFY", ""),
    ("SET work_mem = 1", "SET", ""),
    ("SET LOCAL work_mem = 1", "SET", ""),
    ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS", ""),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET", ""),
    ("RESET ALL", "RESET", ""),
    ("DISCARD PLANS", "DISCARD", ""),
    ("CHECKPOINT", "CHECKPOINT", ""),
    ("COPY t TO '/x'", "COPY", ""),
    ("COPY t FROM PROGRAM 'x'", "COPY", ""),
    ("COMMENT ON TABLE t IS 'x'", "COMMENT", ""),
    ("GRANT SELECT ON t TO u", "GRANT", ""),
    # not inside a transaction block
    ("VACUUM", "VACUUM", "o"),
    ("VACUUM (FULL, ANALYZE) t", "VACUUM", "o"),
    ("CREATE DATABASE d", "CREATE DATABASE", "o"),
    ("DROP DATABASE d", "DROP DATABASE", "o"),
    ("ALTER DATABASE d SET TABLESPACE s", "ALTER DATABASE SET TABLESPACE", "o"),
    ("CREATE TABLESPACE s LOCATION '/x'", "CREATE TABLESPACE", "o"),
    ("DROP TABLESPACE s", "DROP TABLESPACE", "o"),
    ("ALTER SYSTEM SET work_mem = 1", "ALTER SYSTEM", "o"),
    ("CREATE INDEX CONCURRENTLY ON t (a)", "CREATE INDEX CONCURRENTLY", "o"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY", "o"),
    ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY", "o"),
    ("REINDEX TABLE CONCURRENTLY t", "REINDEX CONCURRENTLY", "o"),
    ("REINDEX (VERBOSE, CONCURRENTLY) INDEX i", "REINDEX CONCURRENTLY", "o"),
    ("REINDEX (CONCURRENTLY 1) INDEX i", "REINDEX CONCURRENTLY", "o"),
    ("REINDEX DATABASE d", "REINDEX DATABASE", "o"),
    ("REINDEX SYSTEM d", "REINDEX SYSTEM", "o"),
    ("REINDEX SCHEMA s", "REINDEX SCHEMA", "o"),
    ("CLUSTER", "CLUSTER", "o"),
    ("CLUSTER (VERBOSE)", "CLUSTER", "o"),
    ("DISCARD ALL", "DISCARD ALL", "o"),
    ("COMMIT PREPARED 'x'", "COMMIT PREPARED", "o"),
    ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED", "o"),
    ("ALTER TABLE t DETACH PARTITION u CONCURRENTLY", "ALTER TABLE ... DETACH PARTITION CONCURRENTLY", "o"),
    ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "CREATE SUBSCRIPTION", "o"),
    ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (connect = false)", "CREATE SUBSCRIPTION", ""),
    ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p WITH (create_slot = 0)", "CREATE SUBSCRIPTION", ""),
    ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", "ALTER SUBSCRIPTION ... REFRESH", "o"),
    ("ALTER SUBSCRIPTION s SET PUBLICATION p", "ALTER SUBSCRIPTION with refresh", "o"),
    ("ALTER SUBSCRIPTION s ADD PUBLICATION p", "ALTER SUBSCRIPTION with refresh", "o"),
    ("ALTER SUBSCRIPTION s DROP PUBLICATION p WITH (refresh)", "ALTER SUBSCRIPTION with refresh", "o"),
    ("ALTER SUBSCRIPTION s DROP PUBLICATION p WITH (refresh = off)", "ALTER SUBSCRIPTION", ""),
    ("ALTER SUBSCRIPTION s SET (failover = true)", "ALTER SUBSCRIPTION", "o"),
    ("ALTER SUBSCRIPTION s SET (two_phase = false)", "ALTER SUBSCRIPTION", "o"),
    ("ALTER SUBSCRIPTION s SET (binary = true)", "ALTER SUBSCRIPTION", ""),
    ("ALTER SUBSCRIPTION s ENABLE", "ALTER SUBSCRIPTION", ""),
    ("DROP SUBSCRIPTION s", "DROP SUBSCRIPTION", "o"),
]


@pytest.mark.parametrize(("text", "command", "flags"), KINDS, ids=[case[0] for case in KINDS])
def test_kinds(text: str, command: str, flags: str) -> None:
    parsed = parse(text)
    found = "".join(
        flag
        for flag, on in zip(
            "rRop",
            (parsed.read_only, parsed.returns_rows, parsed.outside_block, parsed.accepts_parameters),
            strict=True,
        )
        if on
    )
    assert (parsed.command, found) == (command, flags)


def test_node_is_the_class_of_the_tree() -> None:
    assert parse("VACUUM").node == "VacuumStmt"
    assert parse("VALUES (1)").node == "SelectStmt"


def test_require_block() -> None:
    parse("SELECT 1").require_block()
    with pytest.raises(SqlError) as caught:
        parse(" -- now\n VACUUM t").require_block()
    assert caught.value.kind == "not_in_block"
    assert caught.value.message == "VACUUM cannot run inside a transaction block"
    assert caught.value.offset == 9
    assert "transaction=False" in (caught.value.hint or "")


REFUSED = [
    # text with ^ before the offending character, kind, message
    ("^", "empty", "SQL text is empty"),
    ("^ \n", "empty", "SQL text is empty"),
    ("^-- nothing", "empty", "SQL text is empty"),
    ("^/* é */ ; ;", "empty", "SQL text is empty"),
    ("SELECT 1; ^SELECT 2", "many", "SQL text has more than one statement"),
    ("SELECT 'é', :abcdef; -- é\n ;; /* é */ ^VACUUM; SELECT 3", "many", "SQL text has more than one statement"),
    ("SELECT 'é', ^$1", "parameter", '"$1" is not allowed'),
    ("SELECT :a, ^$2", "parameter", '"$2" is not allowed'),
    ("SELECT ^:a$b", "parameter", 'parameter name "a$b" is not an identifier'),
    ("SELECT ^:a\u00a0 FROM t", "parameter", 'parameter name "a\u00a0" is not an identifier'),
    ("REFRESH MATERIALIZED VIEW ^:v", "syntax", 'syntax error at or near ":v"'),
    ("CREATE VIEW v AS SELECT ^:a, :b", "parameter", "CREATE VIEW takes no parameters"),
    ("CREATE MATERIALIZED VIEW v AS SELECT ^:a", "parameter", "CREATE MATERIALIZED VIEW takes no parameters"),
    ("EXECUTE p(^:a)", "parameter", "EXECUTE takes no parameters"),
    ("CREATE TABLE t (a int DEFAULT ^:a)", "parameter", "CREATE TABLE takes no parameters"),
    ("COPY (SELECT ^:a) TO '/x'", "parameter", "COPY takes no parameters"),
    (" ^BEGIN", "transaction_control", "BEGIN is not allowed in the SQL of a worker"),
    ("^START TRANSACTION", "transaction_control", "START TRANSACTION is not allowed in the SQL of a worker"),
    ("^COMMIT", "transaction_control", "COMMIT is not allowed in the SQL of a worker"),
    ("^END", "transaction_control", "END is not allowed in the SQL of a worker"),
    ("^ROLLBACK", "transaction_control", "ROLLBACK is not allowed in the SQL of a worker"),
    ("^ABORT", "transaction_control", "ABORT is not allowed in the SQL of a worker"),
    ("^SAVEPOINT s", "transaction_control", "SAVEPOINT is not allowed in the SQL of a worker"),
    ("^RELEASE SAVEPOINT s", "transaction_control", "RELEASE SAVEPOINT is not allowed in the SQL of a worker"),
    ("^ROLLBACK TO s", "transaction_control", "ROLLBACK is not allowed in the SQL of a worker"),
    ("^PREPARE TRANSACTION 'x'", "transaction_control", "PREPARE TRANSACTION is not allowed in the SQL of a worker"),
    ("^SET TRANSACTION READ ONLY", "transaction_control", "SET TRANSACTION is not allowed in the SQL of a worker"),
    ("^SET TRANSACTION SNAPSHOT 'x'", "transaction_control", "SET TRANSACTION is not allowed in the SQL of a worker"),
    ("^LISTEN c", "unsupported", "LISTEN is not allowed in the SQL of a worker"),
    ("^UNLISTEN *", "unsupported", "UNLISTEN is not allowed in the SQL of a worker"),
    ("^COPY t FROM STDIN", "unsupported", "COPY FROM STDIN needs a client, and a worker has none"),
    ("^COPY (SELECT 1) TO STDOUT", "unsupported", "COPY TO STDOUT needs a client, and a worker has none"),
    ("^DECLARE c CURSOR WITH HOLD FOR SELECT 1", "unsupported",
     "DECLARE CURSOR WITH HOLD is not allowed in the SQL of a worker"),
    ("INSERT INTO é (a) ^VLAUES (1)", "syntax", 'syntax error at or near "VLAUES"'),
    ("SELECT :first + :second FROM t WHERE ^WHERE", "syntax", 'syntax error at or near "WHERE"'),
    ("SELECT 'é', :x, DATE ^:a", "syntax", 'syntax error at or near ":a"'),
    ("SELECT :x, public.f(3) ^:a", "syntax", 'syntax error at or near ":a"'),
    ("SELECT 1 + (SELECT INTERVAL ^:a YEAR)", "syntax", 'syntax error at or near ":a"'),
    ("SELECT EXTRACT(^:a FROM now())", "syntax", 'syntax error at or near ":a"'),
    ("ALTER ROLE r PASSWORD ^:a", "parameter", "ALTER ROLE takes no parameters"),
    ("SET work_mem = ^:a", "parameter", "SET takes no parameters"),
    ("SELECT :a ^:b", "syntax", 'syntax error at or near ":b"'),
    ("SELECT (1 +^  ", "syntax", "syntax error at end of input"),
    ("SELECT (1 +^ -- more", "syntax", "syntax error at end of input"),
    ("SELECT 1,^ ", "syntax", "syntax error at end of input"),
    ("SELECT 'é', ^'abc", "syntax", 'unterminated quoted string at or near "\'abc"'),
    ("SELECT é, ^$$abc", "syntax", 'unterminated dollar-quoted string at or near "$$abc"'),
    ("SELECT 1 ^/* é", "syntax", 'unterminated /* comment at or near "/* é"'),
    ("SELECT :a, E'é', ^E'\\xff'", "syntax", 'invalid byte sequence for encoding "UTF8": 0xff'),
    ("SELECT ^:1a", "syntax", 'syntax error at or near ":1a"'),
    ("SELECT 1 \0", "syntax", "SQL text contains the character U+0000"),
    ("SELECT '^\ud800'", "syntax", "SQL text contains the character U+D800"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "kind", "message"), REFUSED, ids=[ascii(case[0]) for case in REFUSED])
def test_refused(marked: str, kind: str, message: str) -> None:
    if "\0" in marked:
        marked = marked.replace("\0", "^\0")
    if ":1a" in marked:
        marked, message = "SELECT :^1a", 'trailing junk after numeric literal at or near "1a"'
    text = marked.replace("^", "", 1)
    found = error(text)
    assert (found.kind, found.message, found.offset) == (kind, message, marked.rstrip().index("^"))
    assert str(found) == message


VALUE_HINT = (
    "A parameter stands for a value, not for a name or a keyword; a type follows two colons, as in :id::bigint."
)

HINTS = [
    ("INSERT INTO outbox (address, body) VLAUES (:address, :body)", "Did you mean VALUES?"),
    ("SELCT 1", "Did you mean SELECT?"),
    ("SELECT * FORM t", "Did you mean FROM?"),
    ("INSERT INT t VALUES (1)", "Did you mean INTO?"),
    ("UPDATE t STE a = :a", "Did you mean SET instead of STE?"),
    ("SELECT a FROM t WHRE a = 1", "Did you mean WHERE instead of WHRE?"),
    ("SELECT a FROM t ORDR BY a", "Did you mean ORDER instead of ORDR?"),
    ("DELETE public.t WHERE a = :a", 'Write FROM before "public.t".'),
    ("INSERT public.t (a) VALUES (:a)", 'Write INTO before "public.t".'),
    ("MERGE t USING u ON true WHEN MATCHED THEN DELETE", 'Write INTO before "t".'),
    ("WITH a AS (DELETE t RETURNING *) TABLE a", 'Write FROM before "t".'),
    ("UPDATE t a = :a", 'Write SET before "a".'),
    ("UPDATE t SET a := :label", 'Write "=": only PL/pgSQL and arguments by name have ":=".'),
    ("SET a := :label", 'Write "=": only PL/pgSQL and arguments by name have ":=".'),
    ("DELETE FRM public.t", "Did you mean FROM?"),
    ("DELETE forms WHERE a = 1", 'Write FROM before "forms".'),
    ("DELETE * FROM t", None),
    ("SELECT a, FROM t", None),
    ("SELECT a FROM t WHERE", None),
    ("SELECT 1 1", None),
    ("SELECT (", None),
    ("\\d t", "Commands with a backslash are psql's; write SQL."),
    ("SELECT 1 \\g", "Commands with a backslash are psql's; write SQL."),
    ("SELECT %s", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT %(name)s", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT {name}", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT ?", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT 1 WHERE a = ? AND b = ?", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT $1", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT :1", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT :'a'", "Write a parameter as a colon and its name, as in :id."),
    ('SELECT :"a"', "Write a parameter as a colon and its name, as in :id."),
    ("SELECT : a", "Write a parameter as a colon and its name, as in :id."),
    ("SELECT 1:::a", VALUE_HINT),
    ("VACUUM :table", VALUE_HINT),
    ("SELECT a:int FROM t", VALUE_HINT),
    ("SELECT INTERVAL :a", VALUE_HINT),
]


@pytest.mark.parametrize(("text", "hint"), HINTS, ids=[case[0] for case in HINTS])
def test_hints(text: str, hint: str | None) -> None:
    assert error(text).hint == hint


def test_every_refusal_but_a_syntax_error_has_a_hint() -> None:
    for marked, kind, _ in REFUSED:
        if kind != "syntax":
            hint = error(marked.replace("^", "", 1)).hint
            assert hint
            assert hint.endswith(".")


def test_long_messages_are_one_short_line() -> None:
    found = error("SELECT 'a\nb" + "x" * 10_000)
    assert found.message == 'unterminated quoted string at or near "\'a..."'
    assert len(error("SELECT '" + "x" * 10_000).message) <= 121


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 9_000,
        "SELECT " + "(" * 60_000,
        "SELECT 1" + "+1" * 30_000,
        "SELECT 1" + " IS NULL" * 8_000,
        "SELECT" + " UNION SELECT" * 5_000,
        "SELECT " + "f(" * 20_000,
        "SELECT 1" + " " * 100_000,
        "SELECT '" + "é" * 200_000 + "'",
        "/*" * 9_000,
    ],
    ids=["parens", "more-parens", "sum", "postfix", "union", "calls", "blanks", "text", "comments"],
)
def test_absurd_text_is_refused_cleanly(text: str) -> None:
    found = error(text)
    assert found.kind in {"syntax", "unsupported"}
    assert "\n" not in found.message
    assert 0 <= found.offset <= len(text)


def test_deep_chains_within_the_limits_are_accepted() -> None:
    assert parse("SELECT" + " UNION SELECT" * 4_990).read_only
    assert not parse("SELECT" + " UNION SELECT" * 4_980 + " FROM t FOR UPDATE").read_only
    assert parse("SELECT :a" + "+:b" * 3_000).sql.endswith("+$2")

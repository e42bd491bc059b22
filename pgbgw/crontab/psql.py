"""Command lines that run psql, and the SQL that they send; the options are those of psql 18."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from getopt import GetoptError, gnu_getopt
from itertools import dropwhile, takewhile
from pathlib import PurePosixPath
from typing import NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgbgw.crontab.entries import Refusal
from pgbgw.crontab.shell import Word, words

__all__ = ["Sent", "sent"]

_SHORT = "aAbc:d:eEf:F:h:HlL:no:p:P:qR:sStT:U:v:VwWxXz01?"
_LONG = (
    "echo-all", "no-align", "command=", "dbname=", "echo-queries", "echo-errors", "echo-hidden", "file=",
    "field-separator=", "field-separator-zero", "host=", "html", "list", "log-file=", "no-readline",
    "single-transaction", "output=", "port=", "pset=", "quiet", "record-separator=", "record-separator-zero",
    "single-step", "single-line", "tuples-only", "table-attr=", "username=", "set=", "variable=", "version",
    "no-password", "password", "expanded", "no-psqlrc", "help", "csv", "debug",
    # of Debian's wrapper, see pg_wrapper(1)
    "cluster=",
)  # fmt: skip

# Variables that say to what psql connects, and as whom; the first that is set counts.
_VARIABLES = {
    "database": ("PGDATABASE",), "user": ("PGUSER",), "host": ("PGHOST", "PGHOSTADDR"), "port": ("PGPORT",),
    "service": ("PGSERVICE",), "cluster": ("PGCLUSTER",),
}  # fmt: skip

# The same in a connection string.
_KEYWORDS = {
    "database": ("dbname",), "user": ("user",), "host": ("host", "hostaddr"), "port": ("port",),
    "service": ("service",),
}  # fmt: skip

# Where a server is looked for by default: on this machine, by its usual sockets.
_LOCAL = {"localhost", "127.0.0.1", "::1", "/run/postgresql", "/var/run/postgresql", "/tmp"}

# Programs that run another one, and their options that take a value.
_AROUND = {
    "chronic": "", "command": "", "env": "u:", "exec": "a:", "flock": "w:E:", "ionice": "c:n:p:", "nice": "n:",
    "nohup": "", "runuser": "u:g:G:", "sudo": "u:g:h:p:C:", "time": "", "timeout": "k:s:",
}  # fmt: skip

# Their options without one.
_FLAGS = "abcefhiklnmosuxEHSKPvV"

_NOT_SQL = "Keep it in the crontab, or put what it does in the database into a function and schedule a call of that."
_FILE = "Put the statements of the file into a procedure, and schedule CALL of it."
_ALONE = "Give each psql a line of its own, and leave out what tells of failures: they stand in the table of runs."
_USERS = "If the sixth field names a user, as in /etc/crontab and /etc/cron.d, say --user-column."

_LAST_DAY = "Write L for the last day of a month, as in 45 23 L * *; what else is asked for, ask in SQL."

# What others of PostgreSQL's programs do, and conditions.
_INSTEAD = {
    "[": _LAST_DAY,
    "test": _LAST_DAY,
    "vacuumdb": 'Write psql -c "VACUUM (ANALYZE)", which a schedule runs outside of a transaction.',
    "reindexdb": 'Write psql -c "REINDEX DATABASE", which a schedule runs outside of a transaction.',
    "clusterdb": 'Write psql -c "CLUSTER", which a schedule runs outside of a transaction.',
    **dict.fromkeys(
        ("pg_dump", "pg_dumpall", "pg_basebackup", "pgbackrest", "barman"), "Keep it in the crontab: it writes files."
    ),
}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Sent:
    """What psql sends: strings of SQL, one after the other; to which database and as whom, where that is said.

    ``apart``: it sends each statement of a string by itself, as it does with its input. ``timeout`` is in seconds;
    ``notes`` say what is not taken over.
    """

    commands: tuple[str, ...]
    apart: bool
    database: str | None
    user: str | None
    timeout: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Around:
    """What was said around the command."""

    variables: Mapping[str, str]
    given: str
    user: str | None = None
    timeout: float | None = None
    notes: tuple[str, ...] = ()


def sent(command: str, given: str, variables: Mapping[str, str]) -> Sent:
    """The SQL of a command line; ``given`` is its standard input, ``variables`` its environment.

    Raises:
        Refusal: it is not psql alone, or psql with what is not SQL.
    """
    return _command(words(command, variables), _Around(variables, given))


def _command(line: list[Word], around: _Around) -> Sent:
    if len(line) > 2 and line[0] == Word("cd") and line[2] == Word("&&", operator=True):
        line = line[3:]
    line, around = _piped(*_without_output(line, around))
    if line and line[-1] == Word(";", operator=True):
        line = line[:-1]
    if operator := next((word.text for word in line if word.operator), None):
        _refuse(line, operator, around)
    return _program([word.text for word in line], around)


def _refuse(line: list[Word], operator: str, around: _Around) -> NoReturn:
    """Say what is wrong with more than a command: its first program, or if that is psql, what joins the others."""
    first = takewhile(lambda word: not word.operator, dropwhile(lambda word: word.operator, line))
    arguments, inner = _unwrapped([word.text for word in first], around)
    name = PurePosixPath(arguments[0]).name if arguments else ""
    if name == "su":
        # what it runs may be at fault, but not for a lack of input
        _su(arguments[1:], replace(inner, given=inner.given or "SELECT"))
    elif name != "psql" and arguments:
        raise _not_psql(arguments)
    if operator.lstrip("0123456789").startswith("<"):
        raise Refusal("psql reads a file", hint=_FILE)
    if operator == "|":
        raise Refusal("not SQL alone: what psql prints goes to another program", hint=_NOT_SQL)
    raise Refusal(f"not SQL alone: more than one command: {operator}", hint=_ALONE)


def _without_output(line: list[Word], around: _Around) -> tuple[list[Word], _Around]:
    """Where output goes matters to nobody here; a file that it is kept in is told of."""
    kept: list[Word] = []
    at = 0
    while at < len(line):
        word = line[at]
        if not word.operator or ">" not in word.text or "<" in word.text or at + 1 == len(line):
            kept.append(word)
            at += 1
            continue
        target = line[at + 1].text
        # what is appended is a log, and what becomes of a run stands in a table here
        if word.text in {">", "1>", ">|", "&>"} and target != "/dev/null" and not target.endswith(".log"):
            around = replace(around, notes=(*around.notes, f"what it prints went to {target}, and is dropped"))
        at += 2
    return kept, around


def _piped(line: list[Word], around: _Around) -> tuple[list[Word], _Around]:
    """``echo SQL | psql`` is psql with that as its input."""
    bar = Word("|", operator=True)
    if line and line[0] == Word("echo") and bar in line:
        at = line.index(bar)
        return line[at + 1 :], replace(around, given=" ".join(word.text for word in line[1:at]))
    return line, around


def _program(arguments: list[str], around: _Around) -> Sent:
    arguments, around = _unwrapped(arguments, around)
    if not arguments:
        raise Refusal("there is no command in it", hint="Leave it out.")
    match PurePosixPath(arguments[0]).name:
        case "psql":
            return _psql(arguments[1:], around)
        case "su":
            return _su(arguments[1:], around)
    raise _not_psql(arguments)


def _unwrapped(arguments: list[str], around: _Around) -> tuple[list[str], _Around]:
    """Take off what runs another program, until that is left."""
    while arguments:
        name = PurePosixPath(arguments[0]).name
        if assigned := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", arguments[0], re.DOTALL):
            around = replace(around, variables={**around.variables, assigned[1]: assigned[2]})
            arguments = arguments[1:]
        elif name in _AROUND:
            arguments, around = _inner(name, arguments[1:], around)
        else:
            break
    return arguments, around


def _not_psql(arguments: list[str]) -> Refusal:
    name, *others = (PurePosixPath(argument).name for argument in arguments[:2])
    # exec is also what other programs call theirs, which run one in a container
    guessed = {"psql", "su", *_AROUND} - {"exec"}
    other = _USERS if guessed.intersection(others) else _NOT_SQL
    return Refusal(f"not SQL: {arguments[0]}", hint=_INSTEAD.get(name, other))


def _inner(name: str, arguments: list[str], around: _Around) -> tuple[list[str], _Around]:
    """What is left of a command line behind a program that runs another, and behind its options."""
    valued = _AROUND[name]
    keeps = name != "sudo"
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option == "--":
            break
        letter, value = option[1:2], option[2:]
        keeps = keeps or letter == "E" or option.startswith("--preserve-env")
        if option.startswith("--"):
            word, _, value = option[2:].partition("=")
            letter = {"user": "u"}.get(word, "")
        elif f"{letter}:" in valued and not value and arguments:
            value = arguments.pop(0)
        if letter == "u" and name in {"sudo", "runuser"}:
            around = replace(around, user=value or (arguments.pop(0) if arguments else None))
    if not keeps:
        around = _renewed(around)
    if name == "timeout" and arguments:
        around = replace(around, timeout=_seconds(arguments.pop(0)))
    if name == "flock" and arguments:
        # runs of a schedule never overlap
        del arguments[0]
        if arguments and arguments[0] in {"-c", "--command"}:
            raise Refusal("flock runs a shell", hint="Leave flock out: runs of a schedule never overlap.")
    return arguments, around


def _renewed(around: _Around) -> _Around:
    """Without the variables that libpq looks at: who becomes another user has none of them."""
    kept = {name: value for name, value in around.variables.items() if not name.startswith("PG")}
    return replace(around, variables=kept)


def _seconds(text: str) -> float | None:
    """A duration of timeout(1); 0 is none."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)", text)
    if found is None:
        raise Refusal(f"timeout can't be read: {text}", hint="Write it in seconds.")
    return float(found[1]) * _UNITS[found[2]] or None


def _su(arguments: list[str], around: _Around) -> Sent:
    try:
        options, names = gnu_getopt(arguments, "lmpc:s:", ["login", "command=", "shell=", "preserve-environment"])
    except GetoptError as error:
        raise Refusal(f"options of su can't be read: {error}", hint=_NOT_SQL) from error
    command = next((value for option, value in options if option in {"-c", "--command"}), None)
    if "-" in names or any(option in {"-l", "--login"} for option, _ in options):
        around = _renewed(around)
    names = [name for name in names if name != "-"]
    if command is None:
        raise Refusal("su runs a shell", hint=_NOT_SQL)
    return _command(words(command, around.variables), replace(around, user=names[0] if names else "root"))


def _psql(arguments: Sequence[str], around: _Around) -> Sent:
    try:
        options, names = gnu_getopt(list(arguments), _SHORT, list(_LONG))
    except GetoptError as error:
        raise Refusal(f"options of psql can't be read: {error}", hint="Look at psql --help.") from error
    commands: list[str] = []
    named: dict[str, str] = {}
    notes = list(around.notes)
    if settings := around.variables.get("PGOPTIONS"):
        notes.append(f"PGOPTIONS is left out, {settings}: give such settings to the owner by ALTER ROLE ... SET")
    single = False
    for option, value in options:
        match option:
            case "-1" | "--single-transaction":
                single = True
            case "-c" | "--command":
                commands.append(value)
            case "-f" | "--file":
                raise Refusal(f"psql reads the file {value}", hint=_FILE)
            case "-d" | "--dbname":
                names.insert(0, value)
            case "-U" | "--username":
                named["user"] = value
            case "-h" | "--host":
                named["host"] = value
            case "-p" | "--port":
                named["port"] = value
            case "--cluster":
                named["cluster"] = value
            case "-o" | "--output" if value != "/dev/null":
                notes.append(f"what it prints went to {value}, and is dropped")
            case "-l" | "--list" | "-V" | "--version" | "--help" | "-?":
                raise Refusal(f"psql {option} runs no SQL", hint="Leave it out.")
    if len(names) > 1:
        named.setdefault("user", names[1])
    if names:
        # what stands in a connection string counts more than options do
        named |= _conninfo(names[0])
    said = _first(_VARIABLES, around.variables) | {key: value for key, value in named.items() if value}
    notes += _elsewhere(said, named)
    apart = not commands
    if apart and around.given.strip():
        commands.append(around.given)
    if not commands:
        raise Refusal("psql runs no SQL", hint="Give it -c, or keep it in the crontab.")
    if backslash := next((each for each in commands if each.lstrip().startswith("\\")), None):
        raise Refusal(f"not SQL: {backslash.split()[0]} is a command of psql", hint="Write SQL.")
    if single:
        commands = [";\n".join(each.strip().removesuffix(";") for each in commands)]
    user = said.get("user") or around.user
    return Sent(tuple(commands), apart, said.get("database"), user, around.timeout, tuple(notes))


def _elsewhere(said: Mapping[str, str], named: Mapping[str, str]) -> Iterator[str]:
    """Notes of servers that may be others than the one to import into; ``named`` is what the command itself says."""
    service = said.get("service")
    # libpq looks into a service before it looks at PGDATABASE and PGUSER
    if service and not named.get("database"):
        raise Refusal(
            f'psql goes by service "{service}", whose database is not known here',
            hint=f'Name it on the line, as in psql -d "service={service} dbname=...".',
        )
    places = [f'{key} "{said[key]}"' for key in ("host", "cluster", "service") if key in said]
    if said.get("host") in _LOCAL:
        del places[0]
    if "port" in said:
        places.append(f"port {said['port']}")
    if places:
        yield f"it connected to {', '.join(places)}, and now runs where it is imported"
    if service and not named.get("user"):
        yield f'a role that service "{service}" names is not known here'


def _first(names: Mapping[str, Sequence[str]], values: Mapping[str, str]) -> dict[str, str]:
    """What is set and not empty, of each the first; libpq takes what is empty for what is not set."""
    found = ((key, next((values[name] for name in each if values.get(name)), None)) for key, each in names.items())
    return {key: value for key, value in found if value}


def _conninfo(text: str) -> dict[str, str]:
    """What is said by what stands for a database: a name, or a connection string."""
    if "=" not in text and not text.startswith(("postgresql://", "postgres://")):
        return {"database": text}
    try:
        found = conninfo_to_dict(text)
    except psycopg.Error as error:
        raise Refusal("the connection string is not valid", detail=f"{str(error).strip()}.") from error
    return _first(_KEYWORDS, {key: str(value) for key, value in found.items()})

"""The audit log's tables, their version, and how an older database is brought to it.

Migration rule: a step only adds (a table, a column with a default, an index), so workers of the version before go on
writing meanwhile. Rows of the chain are never rewritten: a column that later rows sign belongs to a new form (`rows`).
A database of a later version is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from ahalab.errors import UserError
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import first_mac, now

VERSION = 1
_LOCK = 0x6168616C
"""Our number for PostgreSQL's advisory lock while tables are made."""

TABLES = sa.MetaData()
_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

META = sa.Table(
    "audit_meta",
    TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
HEAD = sa.Table(
    "audit_head",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("length", _Number, nullable=False),
    sa.Column("mac", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1"),
)
"""One row: where the chain goes on. Every writer locks it first, so there is one chain for all of them."""
ROWS = sa.Table(
    "audit_rows",
    TABLES,
    sa.Column("number", _Number, primary_key=True, autoincrement=False),
    sa.Column("form", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("exchange", sa.Text, nullable=False),
    sa.Column("closes", _Number, sa.ForeignKey("audit_rows.number"), unique=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("would", sa.Text, nullable=False),
    sa.Column("flagged", sa.Integer, nullable=False),
    sa.Column("sampled", sa.Integer, nullable=False),
    sa.Column("bypass", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("mac", sa.Text, nullable=False),
    sa.CheckConstraint(
        "(kind IN ('conclusion', 'closure')) = (closes IS NOT NULL)", name="audit_no_half_row"
    ),
    sa.Index("audit_rows_exchange", "exchange"),
    sa.Index("audit_rows_at", "at"),
    sa.Index(
        "audit_rows_one_intent",
        "exchange",
        unique=True,
        sqlite_where=sa.text("kind = 'intent'"),
        postgresql_where=sa.text("kind = 'intent'"),
    ),
)
TEXTS = sa.Table(
    "audit_texts",
    TABLES,
    sa.Column("number", _Number, sa.ForeignKey("audit_rows.number"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Index("audit_texts_at", "at"),
)
TEXT_KEYS = sa.Table(
    "audit_text_keys",
    TABLES,
    sa.Column("number", _Number, sa.ForeignKey("audit_texts.number"), primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
"""Each text's own key, itself sealed under the key file: without this row the text is noise."""

MIGRATIONS: Mapping[int, Callable[[sa.Connection], None]] = {}
"""Version n → the step from n - 1 to n."""


def prepare(connection: sa.Connection, keys: AuditKeys, create: bool) -> str:
    """Make or migrate the tables, inside the caller's writing transaction; the chain's id.

    Raises:
        UserError: there is no audit log and none may be made; it is of a later version, or another key's.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    there = set(sa.inspect(connection).get_table_names()) & set(TABLES.tables)
    if META.name not in there:
        if there:
            raise _damaged(connection, f"table {META.name} is gone, {', '.join(sorted(there))} is there")
        if not create:
            raise UserError(
                f"{connection.engine.url.render_as_string()}: there is no audit log in this database"
            )
        return _make(connection, keys)
    meta = read_meta(connection)
    if not meta.get("version", "").isdecimal() or not meta.get("chain"):
        raise _damaged(connection, f"table {META.name} does not say `version` and `chain`")
    if meta.get("key") != keys.fingerprint:
        raise UserError(
            f"this audit log was begun with key {meta.get('key')}, the key given is {keys.fingerprint}: "
            "give the key that belongs to it, or begin a new log in another database"
        )
    version = int(meta["version"])
    if version > VERSION:
        raise UserError(
            f"the audit log is of version {version}, this program writes {VERSION}: update ahalab"
        )
    for step in range(version + 1, VERSION + 1):
        MIGRATIONS[step](connection)
        connection.execute(META.update().where(META.c.name == "version").values(value=str(step)))
    return meta["chain"]


def read_meta(connection: sa.Connection) -> dict[str, str]:
    """Names and values of the log's own facts."""
    return {row.name: row.value for row in connection.execute(sa.select(META))}


def _damaged(connection: sa.Connection, what: str) -> UserError:
    return UserError(
        f"{connection.engine.url.render_as_string()}: the audit log is damaged: {what}. Nothing is written to it; "
        "keep it as it is and look who changed it, or begin a new log in another database"
    )


def _make(connection: sa.Connection, keys: AuditKeys) -> str:
    TABLES.create_all(connection)
    chain = secrets.token_hex(16)
    facts = {"version": str(VERSION), "chain": chain, "key": keys.fingerprint, "created": now(), "probe": ""}
    connection.execute(META.insert(), [{"name": name, "value": value} for name, value in facts.items()])
    connection.execute(HEAD.insert().values(id=1, length=0, mac=first_mac(keys, chain)))
    return chain

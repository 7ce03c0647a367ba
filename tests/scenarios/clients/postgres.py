"""What psycopg, psycopg2, asyncpg, SQLAlchemy and psql make of the PostgreSQL door; `docs/postgres.md` names the checks.

Reads HOST, PORT, KEY, SECRET, OTHER_KEY and OTHER_SECRET; prints `ok NAME` for each check that holds. With names as
arguments it runs only those. Each check has a database of its own.
"""

import asyncio
import datetime
import decimal
import os
import subprocess
import sys
import threading
import time
import traceback
import uuid

import asyncpg
import psycopg
import psycopg2
import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

HOST, PORT = os.environ["HOST"], os.environ["PORT"]
KEY, SECRET = os.environ["KEY"], os.environ["SECRET"]
CHECKS = {}
ENDLESS = "with recursive n (x) as (select 1 union all select x + 1 from n) select count(*) from n"


def check(run):
    CHECKS[run.__name__] = run
    return run


def place(database, user=KEY, password=SECRET):
    return {"host": HOST, "port": PORT, "user": user, "password": password, "dbname": database}


def connect(database, **options):
    return psycopg.connect(**place(database), **options)


def psql(database, *commands, refused=None):
    environment = {**os.environ, "PGPASSWORD": SECRET, "LC_ALL": "C.UTF-8"}
    where = ["-h", HOST, "-p", PORT, "-U", KEY, "-d", database]
    ended = subprocess.run(
        ["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where],
        input="\n".join(commands) + "\n",
        env=environment,
        capture_output=True,
        text=True,
    )
    if refused:
        assert ended.returncode != 0 and refused in ended.stderr, ended
        return ended.stderr
    assert ended.returncode == 0, ended
    return ended.stdout


@check
def who_has_no_key_gets_nothing():
    for user, password in [(KEY, "wrong"), ("nobody", SECRET), (os.environ["OTHER_KEY"], SECRET)]:
        try:
            psycopg.connect(**place("default", user, password))
            raise AssertionError(f"{user} got in")
        except psycopg.OperationalError as error:
            assert "password authentication failed" in str(error), error
    with connect("secrets", autocommit=True) as mine:
        mine.execute("create table mine (a)")
    other = place("secrets", os.environ["OTHER_KEY"], os.environ["OTHER_SECRET"])
    with psycopg.connect(**other, autocommit=True) as theirs:
        try:
            theirs.execute("select * from mine")
            raise AssertionError("it is there")
        except psycopg.errors.UndefinedTable:
            pass
    try:
        connect("no such name")
        raise AssertionError("it is there")
    except psycopg.OperationalError as error:
        assert 'database "no such name" does not exist' in str(error), error


@check
def values_of_all_types_come_back():
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, 678)
    values = {
        "t": "中文 'x' \\",
        "n": -(2**63),
        "x": 1.5,
        "b": b"\0\xff'\\",
        "ok": True,
        "at": now,
        "tz": now.replace(tzinfo=datetime.timezone.utc),
        "day": now.date(),
        "id": uuid.uuid4(),
        "price": decimal.Decimal("12.25"),
        "doc": {"a": [1, None]},
        "none": None,
    }
    with connect("types", autocommit=True) as c:
        c.execute(
            "create table v (t text, n bigint, x double precision, b bytea, ok boolean, at timestamp, "
            "tz timestamptz, day date, id uuid, price numeric(10, 2), doc jsonb, none text)"
        )
        given = {**values, "doc": Jsonb(values["doc"])}
        names = ", ".join(values)
        places = ", ".join(f"%({name})s" for name in values)
        for binary in (False, True):
            cursor = c.cursor(binary=binary)
            got = cursor.execute(f"insert into v ({names}) values ({places}) returning *", given).fetchone()
            assert got == tuple(values.values()), got
            assert cursor.execute("select * from v").fetchall() == [got] * (1 + binary)
        assert c.execute("select 1, 'a', 2.5, null, x'00'").fetchone() == (1, "a", 2.5, None, b"\0")


@check
def transactions_are_kept_or_undone():
    with connect("transactions") as c:
        c.execute("create table t (a integer primary key)")
        c.commit()
        with c.transaction():
            c.execute("insert into t values (1)")
            try:
                with c.transaction():
                    c.execute("insert into t values (1)")
                raise AssertionError("twice")
            except psycopg.errors.UniqueViolation:
                pass
            c.execute("insert into t values (2)")
        c.execute("insert into t values (3)")
        c.rollback()
        try:
            c.execute("select nope from t")
        except psycopg.errors.UndefinedColumn:
            pass
        try:
            c.execute("select 1")
            raise AssertionError("it has failed")
        except psycopg.errors.InFailedSqlTransaction:
            pass
        c.rollback()
        c.read_only = True
        try:
            c.execute("insert into t values (4)")
            raise AssertionError("it only reads")
        except psycopg.errors.ReadOnlySqlTransaction:
            pass
        c.rollback()
        assert c.execute("select a from t order by a").fetchall() == [(1,), (2,)]


@check
def pipelines_are_one_transaction():
    with connect("pipelines", autocommit=True) as c:
        c.execute("create table t (a integer primary key)")
        with c.pipeline():
            for n in range(20):
                c.execute("insert into t values (%s)", (n,))
        try:
            with c.pipeline():
                c.execute("insert into t values (100)")
                c.execute("insert into t values (1)")
        except psycopg.errors.UniqueViolation:
            pass
        assert c.execute("select count(*), max(a) from t").fetchone() == (20, 19)
        c.cursor().executemany("insert into t values (%s)", [(n,) for n in range(1000, 1500)])
        assert c.execute("update t set a = a + 10000 where a >= %s", (1000,)).rowcount == 500
        assert c.execute("update t set a = 0 where a = -1").rowcount == 0


@check
def many_rows_are_streamed():
    numbers = "with recursive n (x) as (select 1 union all select x + 1 from n where x < 100000) select x, 'row' from n"
    with connect("streams") as c:
        assert sum(x for x, _ in c.cursor().stream(numbers)) == 100000 * 100001 // 2


@check
def statements_can_be_cancelled():
    with connect("cancels", autocommit=True) as c:
        threading.Timer(0.3, c.cancel).start()
        began = time.monotonic()
        try:
            c.execute(ENDLESS)
            raise AssertionError("it ended")
        except psycopg.errors.QueryCanceled:
            assert time.monotonic() - began < 5
        assert c.execute("select 1").fetchone() == (1,)
        c.execute("set statement_timeout = '200ms'")
        try:
            c.execute(ENDLESS)
            raise AssertionError("it ended")
        except psycopg.errors.QueryCanceled:
            pass


@check
def psycopg2_writes_values_itself():
    c = psycopg2.connect(**place("psycopg2"))
    cursor = c.cursor()
    cursor.execute("create table t (id serial primary key, a text, b bytea, ok boolean, at timestamp)")
    now = datetime.datetime(2026, 1, 2, 3, 4, 5)
    row = ("it's \\ 中文;", psycopg2.Binary(b"\0'\\x"), True, now)
    cursor.execute("insert into t (a, b, ok, at) values (%s, %s, %s, %s) returning id", row)
    assert cursor.fetchone() == (1,)
    c.commit()
    cursor.execute("select a, b, ok, at from t where a = %s and at = %s", (row[0], now))
    a, b, ok, at = cursor.fetchone()
    assert (a, bytes(b), ok, at) == (row[0], b"\0'\\x", True, now)
    try:
        cursor.execute("insert into t (id) values (1)")
        raise AssertionError("twice")
    except psycopg2.errors.UniqueViolation:
        c.rollback()
    c.close()


@check
def asyncpg_describes_before_it_binds():
    async def story():
        where = place("asyncpg")
        where["database"] = where.pop("dbname")
        c = await asyncpg.connect(**where, ssl=False)
        await c.execute("create table t (id serial primary key, a text, n bigint, ok boolean, at timestamp, price numeric)")
        now = datetime.datetime(2026, 1, 2, 3, 4, 5)
        insert = "insert into t (a, n, ok, at, price) values ($1, $2, $3, $4, $5) returning id"
        assert await c.fetchval(insert, "中", 7, True, now, decimal.Decimal("1.5")) == 1
        got = await c.fetchrow("select * from t where n = $1 and ok = $2", 7, True)
        assert tuple(got) == (1, "中", 7, True, now, decimal.Decimal("1.5")), got
        assert await c.execute("update t set n = $1 where id = $2", 8, 99) == "UPDATE 0"
        await c.executemany("insert into t (a) values ($1)", [(str(n),) for n in range(100)])
        async with c.transaction():
            seen = [row["id"] async for row in c.cursor("select id from t order by id", prefetch=10)]
            assert seen == list(range(1, 102)), seen
        await c.reset()
        await c.close()

    asyncio.run(story())


def orm(driver):
    where = sa.URL.create(driver, KEY, SECRET, HOST, int(PORT), driver.replace("+", "-"))
    engine = sa.create_engine(where)

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(30), unique=True)
        ok: Mapped[bool] = mapped_column(default=True)
        at: Mapped[datetime.datetime] = mapped_column(server_default=sa.func.now())
        price: Mapped[decimal.Decimal | None]
        items: Mapped[list["Item"]] = relationship(back_populates="user")

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
        user: Mapped[User] = relationship(back_populates="items")

    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([User(name="一", price=decimal.Decimal("1.25"), items=[Item(), Item()]), User(name="b")])
        session.commit()
        first, second = session.scalars(sa.select(User).where(User.name.in_(["一", "b"])).order_by(User.id))
        assert (first.id, first.ok, first.price, len(first.items)) == (1, True, decimal.Decimal("1.25"), 2)
        assert isinstance(second.at, datetime.datetime) and second.price is None
        try:
            with session.begin_nested():
                session.add(User(name="b"))
        except sa.exc.IntegrityError:
            pass
        first.name = "changed"
        session.execute(sa.update(User).values(ok=False).where(User.name == "b"))
        session.commit()
        found = session.execute(sa.select(User.name, User.ok).where(User.name.ilike("CHANGED%"))).all()
        assert found == [("changed", True)], found
        session.execute(sa.delete(Item))
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(Item)) == 2
    with engine.begin() as connection:
        assert connection.execute(sa.text("select :a, :b"), {"a": 1, "b": "x"}).all() == [(1, "x")]
    Base.metadata.drop_all(engine)
    engine.dispose()


@check
def sqlalchemy_keeps_objects():
    orm("postgresql+psycopg")
    orm("postgresql+psycopg2")


@check
def psql_shows_and_asks():
    said = psql(
        "psql",
        "create table t (id serial primary key, a varchar(20));",
        "insert into t (a) values ('一'), ('b;c') returning id;",
        "begin; insert into t (a) values ('x'); rollback;",
        "select count(*), $$it's$$ from t;",
        r"\dt",
        r"\d t",
        r"\l",
        "select 1 as one \\; select 2 as two;",
    )
    for part in ["INSERT 0 2", "2|it's", "public|t|table", "a|varchar(20)", "psql|", "ROLLBACK", "1\n2\n"]:
        assert part in said, (part, said)
    psql("psql", r"\copy t from '/dev/null'", refused="COPY is not served")
    psql("psql", "attach database 'x' as y;", refused="not authorized")
    psql("psql", "select * from pg_tables;", refused="sqlite_schema")
    psql("psql", "selec 1;", refused="syntax error")


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    failed = []
    for name in wanted:
        try:
            CHECKS[name]()
            print(f"ok {name}", flush=True)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

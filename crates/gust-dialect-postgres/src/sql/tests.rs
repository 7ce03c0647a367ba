//! Tables of texts and what becomes of them.

use super::{
    outline::{Declared, Field, Guess, Item},
    plan::{Describe, Plan, Sql, Tag, plan},
    rewrite::{Edits, Names},
    settings::Change,
    token::{Kind, split, tokens},
};
use crate::types::Type;

fn names() -> Names {
    Names {
        database: "db".to_owned(),
        user: "me".to_owned(),
        session: 7,
    }
}

fn rewritten(text: &str) -> Result<String, &'static str> {
    let tokens = tokens(text).map_err(|fault| fault.code)?;
    let edits = Edits::of(&tokens, &names()).map_err(|fault| fault.code)?;
    Ok(edits.write(&tokens, 0..tokens.len()))
}

fn planned(text: &str) -> Result<Plan, &'static str> {
    let statements = split(text).map_err(|fault| fault.code)?;
    assert_eq!(statements.len(), 1, "{text}");
    plan(&statements[0], &names()).map_err(|fault| fault.code)
}

fn sql(text: &str) -> Sql {
    match planned(text) {
        Ok(Plan::Sql(sql)) => *sql,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn statements_are_split_where_they_end() {
    for (text, wanted) in [
        ("", &[][..]),
        (" ; ;; -- nothing\n /* ; */ ;", &[]),
        ("select 1", &["select 1"]),
        ("select 1;select 2;", &["select 1", "select 2"]),
        (
            "select ';', \"a;b\", `c;d`, [e;f]",
            &["select ';', \"a;b\", `c;d`, [e;f]"],
        ),
        ("select 'it''s;' ; b", &["select 'it''s;'", "b"]),
        (
            "select $$a;'b$$; select $x$ $$ ; $y$ $x$",
            &["select 'a;''b'", "select ' $$ ; $y$ '"],
        ),
        ("select E'a\\';b\\\\'; c", &["select 'a'';b\\'", "c"]),
        (
            "select E'\\x41\\102\\u4e2d\\U0001F600\\n'",
            &["select 'AB中😀\n'"],
        ),
        ("a -- ; ' \n; b", &["a", "b"]),
        ("a /* ; /* ' ; */ */ x; b", &["a x", "b"]),
        (
            "select '中文;' as 名字; 二",
            &["select '中文;' as 名字", "二"],
        ),
        (
            "create trigger t after insert on a begin select case when 1 then 2 end; delete from b; end; select 1",
            &[
                "create trigger t after insert on a begin select case when 1 then 2 end; delete from b; end",
                "select 1",
            ],
        ),
        (
            "CREATE TEMP TRIGGER begin2 AFTER INSERT ON a WHEN CASE WHEN 1 THEN 1 END BEGIN SELECT 1; END; b",
            &[
                "CREATE TEMP TRIGGER begin2 AFTER INSERT ON a WHEN CASE WHEN 1 THEN 1 END BEGIN SELECT 1; END",
                "b",
            ],
        ),
        (
            "begin; insert into t values (1); end; x",
            &["begin", "insert into t values (1)", "end", "x"],
        ),
        (
            "create table trigger_x (a); b",
            &["create table trigger_x (a)", "b"],
        ),
    ] {
        let found = split(text).unwrap();
        let written: Vec<_> = found
            .iter()
            .map(|statement| Edits::default().write(statement, 0..statement.len()))
            .collect();
        assert_eq!(written, wanted, "{text}");
    }
}

#[test]
fn tokens_do_not_grow_together() {
    for (text, wanted) in [
        ("select E'a'$$b$$", "select 'a' 'b'"),
        ("select 1/* */2", "select 1 2"),
        ("select $1a", "select ?1 a"),
        ("select a||b, c->>'d', x<=y", "select a||b, c->>'d', x<=y"),
    ] {
        assert_eq!(rewritten(text).unwrap(), wanted, "{text}");
    }
    for text in [
        "select 'a;' ; b",
        "begin",
        "$1a$2",
        "create trigger t begin a; end",
        "[a]]",
        "E'\\''''",
        "x''''y",
    ] {
        crate::fuzzing::statements(text);
    }
}

#[test]
fn what_does_not_end_is_refused() {
    for (text, code) in [
        ("select 'a", "42601"),
        ("select \"a", "42601"),
        ("select [a", "42601"),
        ("select $a$ b $c$", "42601"),
        ("select E'a\\'", "42601"),
        ("/* a /* b */", "42601"),
        ("select E'\\xff'", "22025"),
        ("select E'\\u12'", "22025"),
        ("select E'\\000'", "22025"),
        ("select U&'x'", "0A000"),
        ("select B'01'", "0A000"),
        ("select $0", "42P02"),
        ("select $99999", "42P02"),
    ] {
        assert_eq!(split(text).unwrap_err().code, code, "{text}");
    }
    let many = "(".repeat(200_001);
    assert_eq!(split(&many).unwrap_err().code, "54001");
    let nested = "/*".repeat(100);
    assert_eq!(split(&nested).unwrap_err().code, "54001");
}

#[test]
fn spellings_become_sqlites() {
    for (text, wanted) in [
        (
            "select $1, '$2', \"$3\", $12 -- $4",
            "select ?1, '$2', \"$3\", ?12",
        ),
        ("select a$1 from t", "select a$1 from t"),
        ("select $1::varchar", "select CAST(?1 AS TEXT)"),
        ("select a.b::int + 1", "select CAST(a.b AS INTEGER) + 1"),
        ("select f(a, (b))::text", "select CAST(f(a, (b)) AS TEXT)"),
        (
            "select (a + b)::numeric(10, 2)",
            "select CAST((a + b) AS NUMERIC)",
        ),
        (
            "select a::text::int",
            "select CAST(CAST(a AS TEXT) AS INTEGER)",
        ),
        ("select x in (1)::int", "select x in CAST((1) AS INTEGER)"),
        ("select 'x'::double precision", "select CAST('x' AS REAL)"),
        (
            "select a::timestamp(3) with time zone, b",
            "select CAST(a AS TEXT), b",
        ),
        ("select '2026-01-02'::timestamp", "select '2026-01-02'"),
        (
            "select 'true'::boolean, 'f'::bool, a::bool",
            "select 1, 0, CAST(a AS INTEGER)",
        ),
        ("select '\\x00ff'::bytea", "select X'00ff'"),
        ("select a::pg_catalog.int4", "select CAST(a AS INTEGER)"),
        (
            "select cast(a as timestamp), cast(b as varchar(3))",
            "select cast(a as TEXT), cast(b as TEXT)",
        ),
        ("select a as int from t", "select a as int from t"),
        ("select '::int', \"a::b\"", "select '::int', \"a::b\""),
        ("select a ilike 'B%'", "select a LIKE 'B%'"),
        (
            "select now(), x(now())",
            "select CURRENT_TIMESTAMP AS now, x(CURRENT_TIMESTAMP)",
        ),
        ("select current_database() as d", "select 'db' as d"),
        (
            "select pg_catalog.version() from t",
            "select 'PostgreSQL 15.0 (Gust: SQLite''s dialect)' AS version from t",
        ),
        ("select t.version from t", "select t.version from t"),
        ("select pg_backend_pid()", "select 7 AS pg_backend_pid"),
        (
            "insert into t values (now(), 1)",
            "insert into t values (CURRENT_TIMESTAMP, 1)",
        ),
        (
            "create table t (a timestamp default now())",
            "create table t (a timestamp default CURRENT_TIMESTAMP)",
        ),
        ("select * from public.t", "select * from main.t"),
        (
            "create table t (id serial primary key, a text)",
            "create table t (id INTEGER primary key, a text)",
        ),
        (
            "create table t (id BIGSERIAL NOT NULL, a int, PRIMARY KEY (id))",
            "create table t (id INTEGER NOT NULL, a int, PRIMARY KEY (id))",
        ),
        (
            "create table t (id bigint generated by default as identity primary key, a int)",
            "create table t (id INTEGER primary key, a int)",
        ),
        (
            "insert into t (a) select p0::int from (values ($1::int, 0), ($2, 1)) as v(p0, n) order by n",
            "insert into t (a) select CAST(p0 AS INTEGER) from \
             (SELECT column1 AS \"p0\", column2 AS \"n\" FROM (values (CAST(?1 AS INTEGER), 0), (?2, 1))) as v order by n",
        ),
    ] {
        assert_eq!(rewritten(text).unwrap(), wanted, "{text}");
    }
}

#[test]
fn spellings_without_a_counterpart_are_refused() {
    for (text, code) in [
        ("select 't'::regclass", "42704"),
        ("select a::int[]", "0A000"),
        ("select ::int", "42601"),
        ("select a +::int", "42601"),
        ("select cast(a as hstore)", "42704"),
        ("create table t (id int primary key, n serial)", "0A000"),
    ] {
        assert_eq!(rewritten(text), Err(code), "{text}");
    }
}

#[test]
fn long_statements_take_no_long_time() {
    for text in [
        "a::int,".repeat(40_000),
        "((((".repeat(40_000),
        "from(values".repeat(40_000),
        "select now(),".repeat(30_000),
        "x::char(".repeat(30_000),
        "max(".repeat(60_000),
        format!("create table t ({} b)", "a serial,".repeat(30_000)),
        "$1::int::int".repeat(20_000),
        "from a,".repeat(60_000),
        "in ($1".repeat(40_000),
    ] {
        let before = gust_task::clock::now();
        let _ = split(&text).map(|all| plan(&all[0], &names()).map(drop));
        let took = before.elapsed();
        assert!(took.as_secs() < 5, "{took:?}: {}", &text[..20]);
    }
}

#[test]
fn the_session_does_what_is_not_sqlites() {
    let begin = |read_only, text| Plan::Begin { read_only, text };
    let set = |name: &str, value: Option<&str>, local| {
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        Plan::Set(Change::Set { name, value, local })
    };
    for (text, wanted) in [
        ("begin", begin(false, "BEGIN")),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY",
            begin(true, "BEGIN"),
        ),
        ("start transaction read write", begin(false, "BEGIN")),
        (
            "begin immediate transaction",
            begin(false, "BEGIN IMMEDIATE"),
        ),
        ("commit work", Plan::Commit),
        ("end", Plan::Commit),
        ("abort", Plan::Rollback),
        (
            "rollback to savepoint \"A b\"",
            Plan::RollbackTo("A b".to_owned()),
        ),
        ("savepoint Sp", Plan::Savepoint("sp".to_owned())),
        ("release sp", Plan::Release("sp".to_owned())),
        (
            "set application_name = 'x'",
            set("application_name", Some("x"), false),
        ),
        (
            "set local search_path to a, b",
            set("search_path", Some("a, b"), true),
        ),
        ("set time zone 'UTC'", set("timezone", Some("UTC"), false)),
        (
            "set session datestyle to default",
            set("datestyle", None, false),
        ),
        ("reset all", Plan::Set(Change::ResetAll)),
        (
            "set transaction read only",
            Plan::SetTransaction(Some(true)),
        ),
        (
            "show transaction isolation level",
            Plan::Show("transaction_isolation".to_owned()),
        ),
        ("discard all", Plan::DiscardAll),
        (
            "deallocate prepare x",
            Plan::Deallocate(Some("x".to_owned())),
        ),
        ("unlisten *", Plan::Nothing("UNLISTEN")),
    ] {
        assert_eq!(planned(text), Ok(wanted), "{text}");
    }
    for (text, code) in [
        ("copy t from stdin", "0A000"),
        ("listen x", "0A000"),
        ("notify x", "0A000"),
        ("declare c cursor for select 1", "0A000"),
        ("commit and chain", "0A000"),
        ("begin whatever", "42601"),
        ("savepoint", "42601"),
        ("set x", "42601"),
        ("select * from pg_tables", "0A000"),
        ("select * from information_schema.tables", "0A000"),
    ] {
        assert_eq!(planned(text), Err(code), "{text}");
    }
}

#[test]
fn a_write_is_known_as_one() {
    for (text, tag, writes) in [
        ("select 1", Tag::Select, false),
        ("with a as (select 1) select * from a", Tag::Select, false),
        (
            "with a as (select 1) insert into t select * from a",
            Tag::Insert,
            true,
        ),
        ("with a as (select 1) delete from t", Tag::Delete, true),
        ("replace into t values (1)", Tag::Insert, true),
        ("update t set a = 1", Tag::Update, true),
        ("values (1)", Tag::Select, false),
        (
            "explain delete from t",
            Tag::Words("EXPLAIN".to_owned()),
            false,
        ),
        (
            "create unique index i on t (a)",
            Tag::Words("CREATE INDEX".to_owned()),
            true,
        ),
        (
            "pragma table_info(t)",
            Tag::Words("PRAGMA".to_owned()),
            false,
        ),
        (
            "pragma user_version = 3",
            Tag::Words("PRAGMA".to_owned()),
            true,
        ),
        ("vacuum", Tag::Words("VACUUM".to_owned()), true),
    ] {
        let sql = sql(text);
        assert_eq!((sql.tag, sql.writes), (tag, writes), "{text}");
    }
    for text in [
        "create temp table t (a)",
        "create table temp.t (a)",
        "create table if not exists \"temp\".t (a)",
        "create table [TEMP].t (a)",
        "create view 'temp'.v as select 1",
    ] {
        assert!(sql(text).sticks, "{text}");
    }
    assert!(!sql("create table temp_t (a)").sticks);
}

#[test]
fn a_write_is_described_by_a_query_that_reads_nothing() {
    for (text, wanted, parameters) in [
        (
            "insert into t (a) values ($1) returning *",
            "SELECT * FROM t LIMIT 0",
            0,
        ),
        (
            "insert into main.t as x values ($1) returning x.id, $2",
            "SELECT x.id, ?2 FROM main.t as x LIMIT 0",
            2,
        ),
        (
            "update or ignore t set a = (select 1 from u) returning a, b",
            "SELECT a, b FROM t LIMIT 0",
            0,
        ),
        (
            "delete from \"T t\" where a = $1 returning a::int",
            "SELECT CAST(a AS INTEGER) FROM \"T t\" LIMIT 0",
            0,
        ),
    ] {
        let wanted = Describe::Query(wanted.to_owned(), parameters);
        assert_eq!(sql(text).describe, wanted, "{text}");
    }
    assert_eq!(sql("delete from t").describe, Describe::Nothing);
    assert_eq!(sql("create table t (a)").describe, Describe::Nothing);
}

fn declared() -> Declared {
    let columns = |all: &[(&str, &str)]| {
        let one = |(name, kind): &(&str, &str)| ((*name).to_owned(), (*kind).to_owned());
        all.iter().map(one).collect()
    };
    Declared::from([
        (
            "t".to_owned(),
            columns(&[("id", "INTEGER"), ("a", "VARCHAR(9)"), ("at", "TIMESTAMP")]),
        ),
        (
            "u".to_owned(),
            columns(&[("id", "INTEGER"), ("a", "REAL"), ("ok", "BOOLEAN")]),
        ),
    ])
}

fn field(table: Option<&str>, name: &str) -> Field {
    Field {
        table: table.map(str::to_owned),
        name: name.to_owned(),
    }
}

#[test]
fn columns_are_taken_for_what_they_are_declared_as() {
    let names = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    for (text, columns, wanted) in [
        (
            "select id, t.at as x, a || 'b', count(*) from t",
            "id x y n",
            &[
                Some(Type::Int8),
                Some(Type::Timestamp),
                None,
                Some(Type::Int8),
            ][..],
        ),
        (
            "select *, 1.5 from t",
            "id a at z",
            &[
                Some(Type::Int8),
                Some(Type::Text),
                Some(Type::Timestamp),
                Some(Type::Float8),
            ],
        ),
        (
            "select a, u.ok, id from t join u on true",
            "a ok id",
            &[None, Some(Type::Bool), Some(Type::Int8)],
        ),
        (
            "select max(at), x::json from t",
            "m x",
            &[Some(Type::Timestamp), Some(Type::Json)],
        ),
        ("select id from (select a as id from t)", "id", &[None]),
        (
            "select x.a, y.a from t x join u as y on true",
            "a a",
            &[Some(Type::Text), Some(Type::Float8)],
        ),
        (
            "select y.*, x.a from t x, u y",
            "id a ok a",
            &[
                Some(Type::Int8),
                Some(Type::Float8),
                Some(Type::Bool),
                Some(Type::Text),
            ],
        ),
        (
            "select a = 1, not a, a is null as n, (id in (1, 2)), exists (select 1), id between 1 and 2 from t",
            "a b n d e f",
            &[Some(Type::Bool); 6],
        ),
        (
            "select case when a = 1 then 2 end, a -> 'x', id >> 1, a->>'x' from t",
            "a b c d",
            &[None; 4],
        ),
        ("select id from t union select a from t", "id", &[None]),
        (
            "insert into u (a) values (1) returning ok, id",
            "ok id",
            &[Some(Type::Bool), Some(Type::Int8)],
        ),
    ] {
        let found = sql(text).outline.columns(&names(columns), &declared());
        assert_eq!(found, wanted, "{text}");
    }
    assert_eq!(
        sql("select a.*").outline.items,
        [Item::Star(Some("a".to_owned()))]
    );
    for (text, wanted) in [
        ("select (a + b)::int", Item::Known(Type::Int8)),
        ("select a.b::text::int", Item::Known(Type::Int8)),
        ("select 1.5 + b::int", Item::Unknown),
        ("select a::int + 1.5", Item::Unknown),
        ("select a::int + b::int", Item::Unknown),
        ("select cast(a as real) + 1", Item::Unknown),
        ("select (a) + (b)", Item::Unknown),
        ("select max(a, b)", Item::Unknown),
        ("select sum(t.a)", Item::Number(field(Some("t"), "a"))),
    ] {
        assert_eq!(sql(text).outline.items, [wanted], "{text}");
    }
}

#[test]
fn parameters_are_taken_for_what_they_stand_beside() {
    for (text, n, wanted) in [
        ("select * from t where id = $1", 1, Type::Int8),
        ("select * from u where $1 <= a", 1, Type::Float8),
        ("select * from u where u.ok is not $1", 1, Type::Bool),
        ("select * from t where id in ($1, $2)", 2, Type::Int8),
        ("select * from t where id not in ($1, $2)", 2, Type::Int8),
        ("select * from t limit $1 offset $2", 2, Type::Int8),
        ("select $1::timestamptz", 1, Type::Timestamptz),
        ("select cast($1 as int)", 1, Type::Int8),
        (
            "insert into t (at, id) values ($1, $2), ($3, $4)",
            4,
            Type::Int8,
        ),
        ("insert into t values ($1, $2, $3)", 3, Type::Timestamp),
        ("update u set ok = $1 where id = $2", 1, Type::Bool),
        ("select * from t a, u b where b.a = $1", 1, Type::Float8),
        ("select * from t as x join u y on x.a = $1", 1, Type::Text),
        ("select * from u where $1 = u.a", 1, Type::Float8),
        ("select * from t where id between $1 and $2", 2, Type::Int8),
        ("select 1 from t having count(*) > $1", 1, Type::Int8),
        ("select 1 from t having $1 < count(*)", 1, Type::Int8),
        ("select 1 from t having sum(id) > $1", 1, Type::Int8),
        ("select 1 from t where id + 1 > $1", 1, Type::Numeric),
        ("select 1 from t where (id + 1) > $1", 1, Type::Int8),
        ("select 1 from t where length(a) > $1", 1, Type::Int8),
        ("select 1 from u where abs(a) = $1", 1, Type::Float8),
        ("select 1 from t where abs(at) = $1", 1, Type::Numeric),
        (
            "select 1 from u where coalesce(a, 0) >= $1",
            1,
            Type::Float8,
        ),
        (
            "select 1 from u where coalesce(sum(x), 0) >= $1",
            1,
            Type::Numeric,
        ),
        ("select 1 from u where id % $1 = $2", 1, Type::Int8),
        ("select 1 from u where id % $1 = $2", 2, Type::Int8),
        ("select case when $1 = 1 then 2 end", 1, Type::Numeric),
        ("select 1 from t where max(id, 1) > -$1", 1, Type::Numeric),
        ("update t set id = id + $1", 1, Type::Int8),
        ("update t set id = $1 * id", 1, Type::Int8),
        (
            "select count(*) as n from t group by a having n > $1",
            1,
            Type::Int8,
        ),
    ] {
        let outline = sql(text).outline;
        assert_eq!(
            outline.parameter(n, &declared()),
            Some(wanted),
            "{text}: {outline:?}"
        );
    }
    for text in [
        "select $1",
        "select 1 from t where id || '1' = $1",
        "select 1 from t where '1' || id = $1",
        "select a -> $1 from t",
        "select a ->> $1 from t",
        "select 1 from t where a ->> '$.x' = $1",
    ] {
        let outline = sql(text).outline;
        assert_eq!(
            outline.parameter(1, &declared()),
            None,
            "{text}: {outline:?}"
        );
    }
    let outline = sql("select * from t where a like $1").outline;
    assert_eq!(outline.parameters[&1], Guess::Column(field(None, "a")));
}

#[test]
fn questions_to_the_catalogs_become_ones_to_sqlites() {
    let there = sql(
        "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON true \
         WHERE pg_catalog.pg_class.relname = $1::VARCHAR AND pg_catalog.pg_class.relkind = ANY (ARRAY[$2]) \
         AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid)",
    );
    assert_eq!((there.parameters, there.picked), (2, Some(vec![1])));
    let none = sql("SELECT typname AS name, oid FROM pg_type t WHERE t.oid = to_regtype($1)");
    assert_eq!(
        none.text,
        "SELECT NULL AS \"name\", NULL AS \"oid\" WHERE 0"
    );
    assert_eq!(sql("select pg_type from t").text, "select pg_type from t");
    let kinds: Vec<_> = tokens("a ARRAY[1] [b c]")
        .unwrap()
        .iter()
        .map(|t| t.kind)
        .collect();
    assert_eq!(kinds.last(), Some(&Kind::Quoted));
    assert_eq!(kinds.len(), 6);
}

/// Words in any order.
fn jumble(random: &mut impl FnMut(usize) -> usize) -> String {
    const WORDS: &[&str] = &[
        "select",
        "insert into",
        "values",
        "(",
        ")",
        ",",
        ";",
        "a",
        "$1",
        "::",
        "int",
        "as",
        "cast(",
        "returning",
        "with",
        "from",
        "create trigger",
        "begin",
        "end",
        "case",
        "'x'",
        "E'\\'",
        "$$y;$$",
        "\"z\"",
        "[",
        "]",
        "array",
        ".",
        "*",
        "now()",
        "version()",
        "serial",
        "primary key",
        "create table",
        "--",
        "\n",
        "/*",
        "*/",
        "pg_class",
        "pg_type",
        "public",
        "set",
        "=",
        "to",
        "limit",
        "generated",
        "as identity",
        "in",
        "like",
        "中",
        "1.5",
        "0x",
        "pragma",
        "on",
        "update",
        "delete",
        "or",
        "::text",
        "relname",
    ];
    let mut text = String::new();
    for _ in 0..random(24) {
        text.push_str(WORDS[random(WORDS.len())]);
        text.push_str(["", " ", " "][random(3)]);
    }
    text
}

fn random() -> impl FnMut(usize) -> usize {
    let mut state = 7u64;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    }
}

#[test]
fn any_words_are_statements_or_refused() {
    let mut random = random();
    for _ in 0..30_000 {
        crate::fuzzing::statements(&jumble(&mut random));
    }
}

/// What is one statement to us is one to SQLite: it never finds a second behind it.
#[tokio::test]
async fn sqlite_ends_statements_where_we_do() {
    use gust_backend::Backends as _;
    let folder = tempfile::tempdir().unwrap();
    let backends = gust_backend_local::LocalBackends::open(folder.path()).unwrap();
    let (project, label) = (
        gust_types::ProjectName::default_project(),
        gust_types::Label::new("any").unwrap(),
    );
    let database = backends.sql(&project, &label).unwrap();
    let connection = database.connect().await.unwrap();
    let (mut random, mut run) = (random(), 0);
    for _ in 0..8_000 {
        let text = jumble(&mut random);
        for statement in split(&text).unwrap_or_default() {
            let Ok(Plan::Sql(sql)) = plan(&statement, &names()) else {
                continue;
            };
            let values = vec![gust_backend::sql::Value::Null; sql.parameters.into()];
            let why = match connection.execute(&sql.text, values).await {
                Ok(_) => continue,
                Err(error) => error.message,
            };
            assert!(!why.contains("more than one"), "{text}: {}", sql.text);
            assert!(!why.contains("is empty"), "{text}: {}", sql.text);
            run += 1;
        }
    }
    assert!(run > 1_000, "{run}");
}

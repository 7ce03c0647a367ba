//! Stores and databases by hand: `gust kv` and `gust sql`, beside the functions that use them.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use gust_scenarios::{App, Client, Node};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_functions_see_the_same_values() -> Result<()> {
    let mut node = Node::start()?;
    let app = App::new("shop")?.function(
        "web",
        "host-spin2",
        "route = \"/...\"\nkv = [\"default\"]\n",
    )?;
    node.deploy(&app)?;
    node.gust(&["kv", "set", "default", "城市", "北京"])?;
    let mut client = Client::connect(node.functions, "shop.gust.localhost").await?;
    let seen = client.get("/kv/default/%E5%9F%8E%E5%B8%82").await?.json()?;
    ensure!(seen["value"] == "北京", "{seen}");
    client.get("/kv/default/none").await?;
    ensure!(node.gust(&["kv", "ls"])? == "default\n");
    ensure!(node.gust(&["kv", "incr", "default", "n", "5"])? == "5\n");
    ensure!(node.gust(&["kv", "incr", "default", "n", "-7"])? == "-2\n");
    ensure!(node.gust(&["kv", "ls", "default"])? == "n\n城市\n");
    ensure!(node.gust(&["kv", "ls", "default", "城"])? == "城市\n");
    let shown = node.json(&["kv", "get", "default", "城市"])?;
    let version = shown["version"].as_u64().context("a version")?;
    let set = ["kv", "set", "default", "城市", "上海", "--if-version"];
    let same = version.to_string();
    node.gust(&[&set[..], &[&same]].concat())?;
    node.gust_fails(&[&set[..], &[&same]].concat())?;
    node.gust_fails(&["kv", "set", "default", "城市", "x", "--if-absent"])?;
    node.gust(&["kv", "set", "default", "short", "x", "--ttl", "1h"])?;
    let shown = node.json(&["kv", "get", "default", "short"])?;
    ensure!(
        shown["expires_us"].is_u64() && shown["value"] == "x",
        "{shown}"
    );
    node.kill_9()?;
    let node = Node::start_on(node.data())?;
    ensure!(node.gust(&["kv", "get", "default", "城市"])? == "上海");
    node.gust(&["kv", "rm", "default", "n", "城市", "never"])?;
    ensure!(node.gust(&["kv", "ls", "default"])? == "short\n");
    let output = node.gust_fails(&["kv", "get", "default", "n"])?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    Ok(())
}

fn results(ran: &Value) -> &Value {
    &ran["results"][0]["rows"]
}

#[test]
fn statements_run_together_or_not_at_all() -> Result<()> {
    let node = Node::start()?;
    let sql = |sql: &str, more: &[&str]| node.json(&[&["sql", "run", "shop", sql], more].concat());
    let made = "create table t (id integer primary key, name text unique, data); \
        insert into t (name, data) values ('王', x'00ff'), ('b;c', 1.5);";
    let ran = sql(made, &[])?;
    ensure!(ran["statements"] == 2 && ran["changes"] == 2, "{ran}");
    ensure!(ran["results"][1]["last_insert_rowid"] == 2, "{ran}");
    ensure!(node.gust(&["sql", "ls"])? == "shop\n");

    let ran = sql("select id, data from t where name = ?1", &["王"])?;
    ensure!(*results(&ran) == json!([[1, {"base64": "AP8="}]]), "{ran}");
    let broken = "insert into t (name) values ('new'); insert into t (name) values ('王');";
    let output = node.gust_fails(&["sql", "run", "shop", broken])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        said.contains("statement 2: ") && said.contains("nothing was changed"),
        "{said}"
    );
    ensure!(*results(&sql("select count(*) from t", &[])?) == json!([[2]]));
    // A transaction of the script's own that nobody ends is rolled back.
    let output = node.gust_fails(&["sql", "run", "shop", "begin; delete from t;"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        said.contains("the script ends inside a transaction"),
        "{said}"
    );
    let ran = sql("update t set data = null returning name", &[])?;
    ensure!(
        results(&ran).as_array().map(Vec::len) == Some(2) && ran["changes"] == 2,
        "{ran}"
    );
    for (bad, says) in [
        (" -- nothing", "there is no statement"),
        ("attach 'x' as y", "not authorized"),
        ("selec 1", "syntax error"),
    ] {
        let output = node.gust_fails(&["sql", "run", "shop", bad])?;
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        ensure!(said.contains(says), "{bad}: {said}");
    }
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n limit 5000) select i from n";
    let ran = sql(many, &[])?;
    ensure!(
        results(&ran).as_array().map(Vec::len) == Some(1000) && ran["results"][0]["more"] == true
    );
    let table = node.gust(&["sql", "run", "shop", "select 1 as one, 'x' as two"])?;
    ensure!(
        table.lines().count() == 2 && table.contains("one"),
        "{table}"
    );
    Ok(())
}

const SCRIPT: &str = r#"
create table "a ""b""" (id integer primary key autoincrement, "key" text, half real, twice as (id * 2));
create table w (k text primary key, v) without rowid;
create index i on w (v);
create view seen as select * from w -- a comment at its end
;
pragma user_version = 7;
create trigger t after insert on w begin insert into "a ""b""" (key) values (new.k); select 1; end;
insert into w values ('it''s', x'00'), ('你好' || char(0) || 'x', null), ('n', 9e999);
insert into "a ""b""" (id, half) values (40, 2), (41, 0.1);
delete from "a ""b""" where id = 41;
"#;

#[test]
fn a_dump_makes_the_same_database_again() -> Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script.sql");
    std::fs::write(&script, SCRIPT)?;
    node.gust(&["sql", "import", "shop", &script.to_string_lossy()])?;
    let first = node.gust(&["sql", "dump", "shop"])?;
    ensure!(
        first.ends_with("COMMIT;\n") && first.contains("2.0"),
        "{first}"
    );
    let file = folder.path().join("dump.sql");
    node.gust(&["sql", "dump", "shop", &file.to_string_lossy()])?;
    ensure!(std::fs::read_to_string(&file)? == first);
    let ran = node.json(&["sql", "import", "copy", &file.to_string_lossy()])?;
    ensure!(ran["statements"].as_u64() > Some(10), "{ran}");
    ensure!(node.gust(&["sql", "dump", "copy"])? == first);
    // AUTOINCREMENT goes on where it was.
    let next = "insert into \"a \"\"b\"\"\" (key) values ('n')";
    let ran = node.json(&["sql", "run", "copy", next])?;
    ensure!(ran["results"][0]["last_insert_rowid"] == 42, "{ran}");
    // A table of more than an answer may have, by number and by key.
    let large = "create table many (v); create table keyed (a text, b int, v, primary key (a, b)) without rowid; \
        with recursive n(i) as (select 1 union all select i + 1 from n limit 20000) \
        insert into many select hex(randomblob(500)) from n; \
        insert into keyed select rowid % 7, rowid, v from many where rowid < 9000;";
    node.gust(&["sql", "run", "large", large])?;
    let count = "select count(*), sum(length(v)) from many union all select count(*), sum(length(v)) from keyed";
    let dump = node.gust(&["sql", "dump", "large"])?;
    ensure!(
        dump.len() > 25 << 20 && dump.ends_with("COMMIT;\n"),
        "{}",
        dump.len()
    );
    std::fs::write(&script, &dump)?;
    node.gust(&["sql", "import", "large2", &script.to_string_lossy()])?;
    ensure!(
        node.json(&["sql", "run", "large", count])?
            == node.json(&["sql", "run", "large2", count])?
    );
    // Cut off, it is refused.
    std::fs::write(&script, &first[..first.len() - 8])?;
    node.gust_fails(&["sql", "import", "cut", &script.to_string_lossy()])?;
    // All of a script or nothing.
    std::fs::write(
        &script,
        "create table x (a); insert into nowhere values (1);",
    )?;
    node.gust_fails(&["sql", "import", "shop", &script.to_string_lossy()])?;
    ensure!(node.gust(&["sql", "dump", "shop"])? == first);
    let output = node.gust_fails(&["sql", "dump", "never"])?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    // The shell, fed by a pipe.
    let mut shell = node
        .command(&["sql", "shell", "shop"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut stdin = shell.stdin.take().context("stdin")?;
    stdin.write_all(b"select k from w\n where k = 'n';\nselect count(*) as n from seen; .quit")?;
    drop(stdin);
    let output = shell.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains('k') && said.contains('3'), "{said}");
    Ok(())
}

//! What is understood, what is refused, and the page that shows all of it.

use std::{fmt::Write as _, fs, path::Path};

use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Command};

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn what_people_type_is_understood() {
    for line in [
        "new hello",
        "new -t js my-app --dir x",
        "build",
        "build app --function a --profile debug",
        "up",
        "up --listen 127.0.0.1:0",
        "up app --watch --variable a=b --variable c=d=e --data d --domain x.test -q",
        "up --tls-cert c --tls-key k",
        "serve --data d --listen 127.0.0.1:0 --control 127.0.0.1:0 --config node.toml --domain x.test",
        "serve --control off",
        "deploy --build app",
        "deploy app --variable a=b --json --node http://x:1 --token t --project p",
        "ls --json",
        "show",
        "show shop --json",
        "invoke shop",
        "invoke shop/cart -X PUT -p /x?y=1 -H a:b -H c:d -d @file -i",
        "invoke shop/cart --async",
        "invoke shop --async --wait --idempotency-key order-7 -d x",
        "call ls -n 5 --after 019a3c5e7b21d4f08c6e5a9b3f7d1e42 --json",
        "calls show 019a3c5e7b21d4f08c6e5a9b3f7d1e42 --wait",
        "call result 019a3c5e7b21d4f08c6e5a9b3f7d1e42 --wait -i",
        "call cancel 019a3c5e7b21d4f08c6e5a9b3f7d1e42 --json",
        "logs shop -f",
        "logs shop/cart --limit 3 --since 10m --json",
        "usage",
        "usage shop/cart --by app --period hour --from 2026-11-01 --until 1h --csv",
        "usage --records --limit 200 --json",
        "bill",
        "bill --month",
        "bill --month 2026-11 --csv",
        "bill --month --json",
        "bill --by app --all-projects",
        "bill --by project --csv",
        "usage --by project --all-projects --json",
        "usage --records --all-projects --csv",
        "budget set 10.5 --warn 50",
        "budget show --json",
        "budget rm",
        "rollback",
        "rollback shop --to 3",
        "rm shop --yes",
        "secret set token",
        "secret set token value --app shop",
        "secret ls --json",
        "secret rm token -a shop",
        "project ls",
        "project new p",
        "project rm p",
        "doctor --json",
        "config explain --json --data x",
        "completions bash",
    ] {
        let parsed = Cli::try_parse_from(std::iter::once("gust").chain(line.split(' ')));
        assert!(
            parsed.is_ok(),
            "{line}: {}",
            parsed.err().map(|e| e.to_string()).unwrap_or_default()
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_2() {
    for (line, said) in [
        ("", "Usage"),
        ("deply", "deploy"),
        ("new", "<NAME>"),
        ("new Hello", "lower-case"),
        ("new x -t cobol", "rust"),
        ("up --listen 3000", "--listen"),
        ("up --variable secretvalue", "NAME=VALUE"),
        ("up --tls-cert c", "--tls-key"),
        ("invoke shop -H nonsense", "NAME: VALUE"),
        ("invoke Shop", "app name"),
        ("logs --limit 0", "0"),
        ("usage --json --csv", "cannot be used"),
        ("usage --records --by app", "cannot be used"),
        ("bill --json --csv", "cannot be used"),
        ("budget set 1 --warn 101", "101"),
        ("rollback --to x", "--to"),
        ("rm", "<APP>"),
        ("ls --project Über", "project name"),
        ("completions cobol", "bash"),
    ] {
        let words = line.split(' ').filter(|w| !w.is_empty());
        let error = Cli::try_parse_from(std::iter::once("gust").chain(words))
            .err()
            .unwrap();
        assert_eq!(error.exit_code(), 2, "{line}");
        let text = error.to_string();
        assert!(text.contains(said), "{line}: {text}");
    }
}

#[test]
fn the_month_may_be_left_open() {
    let month = |line: &str| {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        match cli.command {
            Command::Bill(args) => format!("{args:?}"),
            other => panic!("{other:?}"),
        }
    };
    assert!(month("gust bill --month").contains("month: Some(\"\")"));
    assert!(month("gust bill --month 2026-11").contains("month: Some(\"2026-11\")"));
    assert!(month("gust bill").contains("month: None"));
}

/// The help's last lines and the table that decides are one.
#[test]
fn the_help_names_the_exit_codes_of_the_table() {
    use gust_types::{Blame, Kind};
    for (kind, words) in [
        (Kind::Invalid, "not valid"),
        (Kind::Denied, "not allowed"),
        (Kind::NotFound, "not found"),
        (Kind::Conflict, "conflict"),
        (Kind::Exhausted, "a limit is reached"),
        (Kind::Unavailable, "not available"),
        (Kind::Timeout, "took too long"),
        (Kind::Failed, "the function failed"),
        (Kind::Internal, "the platform failed"),
    ] {
        let code = gust_api::render::row(kind, Blame::Caller).exit;
        let told = super::AFTER.replace('\n', " ");
        assert!(told.contains(&format!(" {code} {words}")), "{code} {words}");
    }
    assert!(super::AFTER.contains(&format!("{} interrupted", crate::INTERRUPTED)));
}

/// Every command's help, which is the reference page and the snapshot in one. `GUST_BLESS=1` renews it.
#[test]
fn the_page_is_up_to_date() {
    let mut page = String::from(
        "<!-- Generated from crates/gust-cli/src; to renew: GUST_BLESS=1 cargo test -p gust-cli -->\n# The command line\n",
    );
    let mut command = Cli::command().term_width(100);
    command.build();
    describe(&mut page, &mut command, "gust");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os("GUST_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/cli.md is out of date; renew it with: GUST_BLESS=1 cargo test -p gust-cli"
    );
}

fn describe(page: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(
        page,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    );
    for below in command.get_subcommands_mut() {
        let name = format!("{name} {}", below.get_name());
        describe(page, below, &name);
    }
}

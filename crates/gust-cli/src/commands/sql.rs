//! `gust sql`: databases of a project, by hand.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use gust_api::{
    Client,
    sql::{RanSql, RunSql, SqlResult, SqlValue},
};
use gust_types::{Error, Label, ProjectName, Result, script};

use crate::{
    output::{self, Table},
    progress::Bars,
    remote::Of,
    target::Target,
};

/// Bytes of a script, which is what a node takes with what JSON adds to it.
const SCRIPT: u64 = 48 << 20;
/// Letters of a cell that a person is shown.
const CELL: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the databases of a project
    Ls {
        #[command(flatten)]
        of: Of,
    },
    /// Run statements and print what they answer; several are one transaction
    Run(RunArgs),
    /// Run statements as they are typed, each by itself
    Shell {
        /// The database
        #[arg(default_value = "default")]
        database: Label,
        #[command(flatten)]
        of: Of,
    },
    /// Write a database down as SQL that makes it again
    Dump {
        /// The database
        database: Label,
        /// Where to; - is stdout
        #[arg(default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Run a script, all of it or nothing unless it has transactions of its own; - is stdin
    Import {
        /// The database
        database: Label,
        /// The script
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The database
    database: Label,
    /// One statement, or several with semicolons between them; - is stdin
    sql: String,
    /// Values for ?1, ?2 …: null, a number, else text; in quotes it is text whatever it looks like
    #[arg(allow_negative_numbers = true)]
    parameters: Vec<String>,
    /// Rows of each answer at most
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u32>,
    #[command(flatten)]
    of: Of,
}

/// A database that is asked.
struct Asked<'a> {
    client: Client,
    of: &'a Of,
    database: &'a Label,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { of } => list(of).await?,
        Action::Run(args) => once(args).await?,
        Action::Shell { database, of } => shell(&Asked::new(database, of)?).await?,
        Action::Dump { database, file, of } => dump(&Asked::new(database, of)?, file).await?,
        Action::Import { database, file, of } => import(&Asked::new(database, of)?, file).await?,
    }
    Ok(crate::OK)
}

async fn list(of: &Of) -> Result<()> {
    let found = of.remote.client()?.databases(&of.remote.project).await;
    let found = found.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&found);
    }
    let mut names = found.databases.iter();
    names.try_for_each(|name| output::line(name.as_str()))
}

async fn once(args: &RunArgs) -> Result<()> {
    let sql = match args.sql.as_str() {
        "-" => script_of(Path::new("-"))?,
        sql => sql.to_owned(),
    };
    let run = RunSql {
        sql,
        parameters: args.parameters.iter().map(|text| parameter(text)).collect(),
        limit: args.limit,
        quiet: false,
    };
    let ran = Asked::new(&args.database, &args.of)?.run(&run).await?;
    if args.of.json {
        return output::json(&ran);
    }
    ran.results.iter().try_for_each(print)
}

/// What a word of the command line means.
fn parameter(text: &str) -> SqlValue {
    let quoted = |quote: char| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(SqlValue::Text(inner.to_owned()))
    };
    if let Some(text) = quoted('\'').or_else(|| quoted('"')) {
        return text;
    }
    if text.eq_ignore_ascii_case("null") {
        return SqlValue::Null;
    }
    let digits = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let integer = text.parse().ok().map(SqlValue::Integer);
    let real = || text.parse().ok().filter(|_| digits).map(SqlValue::Real);
    integer
        .or_else(real)
        .unwrap_or_else(|| SqlValue::Text(text.to_owned()))
}

fn print(result: &SqlResult) -> Result<()> {
    if result.columns.is_empty() {
        if result.changes > 0 {
            output::say(&format!("changed: {}", result.changes));
        }
        return Ok(());
    }
    let heading: Vec<String> = result
        .columns
        .iter()
        .map(|c| output::printable(c))
        .collect();
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let number = |value: &SqlValue| matches!(value, SqlValue::Integer(_) | SqlValue::Real(_));
    let right: Vec<usize> = (0..heading.len())
        .filter(|column| {
            let mut cells = result.rows.iter().filter_map(|row| row.get(*column));
            !result.rows.is_empty() && cells.all(number)
        })
        .collect();
    let mut table = Table::new(&heading, &right);
    for row in &result.rows {
        table.row(row.iter().map(cell).collect());
    }
    table.print()?;
    if result.more {
        output::say("there are more rows: ask for fewer columns, or more rows with --limit");
    }
    Ok(())
}

fn cell(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => output::beginning(&output::printable(text), CELL),
        SqlValue::Blob { base64 } => {
            let bytes = SqlValue::bytes(base64).unwrap_or_default();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            output::beginning(&format!("X'{hex}'"), CELL)
        }
    }
}

/// Reads statements until the end of the input. On a terminal what fails is told, and it goes on.
async fn shell(asked: &Asked<'_>) -> Result<()> {
    let typed = std::io::stdin().is_terminal();
    if !typed {
        return one_by_one(asked, &script_of(Path::new("-"))?, false).await;
    }
    let mut text = String::new();
    output::say("end statements with a semicolon; leave with .quit");
    output::prompt("sql> ");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::invalid("stdin cannot be read").because(e))?;
        if text.is_empty() && matches!(line.trim(), ".quit" | ".exit") {
            break;
        }
        text.push_str(&line);
        text.push('\n');
        // Only a semicolon can end one.
        let ends = line.contains(';') && script::is_whole(&text);
        if !ends && !text.trim().is_empty() {
            output::prompt("...> ");
            continue;
        }
        let typed_text = std::mem::take(&mut text);
        one_by_one(asked, &typed_text, true).await?;
        output::prompt("sql> ");
    }
    one_by_one(asked, &text, true).await
}

async fn one_by_one(asked: &Asked<'_>, text: &str, goes_on: bool) -> Result<()> {
    for statement in script::statements(text) {
        let done = match script::is_transaction(statement) {
            true => Err(Error::invalid(
                "a transaction does not last from one statement to the next here",
            )
            .hint("run its statements together: gust sql run DATABASE 'FIRST; SECOND'")),
            false => answer(asked, statement).await,
        };
        match done {
            Err(error) if goes_on => output::error(&error),
            done => done?,
        }
    }
    Ok(())
}

async fn answer(asked: &Asked<'_>, statement: &str) -> Result<()> {
    let run = RunSql {
        sql: statement.to_owned(),
        ..RunSql::default()
    };
    let ran = asked.run(&run).await?;
    match asked.of.json {
        true => output::json(&ran),
        false => ran.results.iter().try_for_each(print),
    }
}

/// Takes a file's place when all is there: what breaks off leaves nothing.
async fn dump(asked: &Asked<'_>, file: &Path) -> Result<()> {
    let (project, of) = (asked.project(), asked.of);
    let dump = asked.client.dump_sql(project, asked.database).await;
    let mut dump = dump.map_err(|e| of.remote.explain(e))?;
    if file == Path::new("-") {
        while let Some(bytes) = dump.next().await? {
            output::out(&bytes)?;
        }
        return Ok(());
    }
    let mut to = Target::open(file)?;
    let bars = Bars::new();
    let bar = bars.spinner(&format!("dump {}", asked.database));
    let mut got = 0;
    while let Some(bytes) = dump.next().await? {
        to.write(&bytes).await?;
        got += bytes.len() as u64;
        bar.set_message(output::bytes(got));
    }
    bars.clear();
    to.keep().await
}

async fn import(asked: &Asked<'_>, file: &Path) -> Result<()> {
    let text = script_of(file)?;
    let run = RunSql {
        sql: text,
        quiet: true,
        ..RunSql::default()
    };
    let bars = Bars::new();
    let _bar = bars.spinner(&format!("import into {}", asked.database));
    let ran = asked.run(&run).await;
    bars.clear();
    let ran = ran?;
    if asked.of.json {
        return output::json(&ran);
    }
    output::say(&format!(
        "{} statements are run, {} rows changed",
        ran.statements, ran.changes
    ));
    Ok(())
}

/// The text of a script, which has bounds.
fn script_of(file: &Path) -> Result<String> {
    let fault = |e| Error::invalid(format!("cannot read: {}", file.display())).because(e);
    let mut bytes = Vec::new();
    match file == Path::new("-") {
        true => std::io::stdin().take(SCRIPT + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(file)
            .map_err(fault)?
            .take(SCRIPT + 1)
            .read_to_end(&mut bytes),
    }
    .map_err(fault)?;
    if bytes.len() as u64 > SCRIPT {
        let text = format!("the script has more than {} MiB", SCRIPT >> 20);
        return Err(Error::too_large(text).hint("take it apart, at the ends of statements"));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("the script is not UTF-8"))
}

// === impl Asked ===

impl<'a> Asked<'a> {
    fn new(database: &'a Label, of: &'a Of) -> Result<Self> {
        Ok(Self {
            client: of.remote.client()?,
            of,
            database,
        })
    }

    fn project(&self) -> &ProjectName {
        &self.of.remote.project
    }

    async fn run(&self, run: &RunSql) -> Result<RanSql> {
        let ran = self.client.sql(self.project(), self.database, run).await;
        ran.map_err(|e| self.of.remote.explain(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_values() {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        for (word, value) in [
            ("null", SqlValue::Null),
            ("42", SqlValue::Integer(42)),
            ("-1", SqlValue::Integer(-1)),
            ("1.5", SqlValue::Real(1.5)),
            ("1e3", SqlValue::Real(1000.0)),
            ("inf", text("inf")),
            ("nan", text("nan")),
            ("'42'", text("42")),
            ("\"null\"", text("null")),
            ("你好", text("你好")),
            ("", text("")),
        ] {
            assert_eq!(parameter(word), value, "{word}");
        }
    }
}

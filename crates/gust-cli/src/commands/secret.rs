//! `gust secret`: values of an app's variables. They are kept encrypted and never shown.

use std::io::{IsTerminal as _, Read as _};

use clap::Subcommand;
use gust_types::{AppName, Error, Kind, Result};

use crate::{
    here,
    output::{self, Table},
    remote::Remote,
    time,
};

/// The longest value, as the node has it.
const MAX_VALUE: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set the value of a variable
    Set {
        /// The variable
        name: String,
        /// The value; read from stdin when absent, without its last line end
        value: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// List the variables that have a value set
    Ls {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Forget the value of a variable
    Rm {
        /// The variable
        name: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
struct Of {
    /// The app [default: the one of this folder]
    #[arg(short, long)]
    app: Option<AppName>,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Set { name, value, of } => set(name, value.as_deref(), of).await?,
        Action::Ls { json, of } => list(*json, of).await?,
        Action::Rm { name, of } => remove(name, of).await?,
    }
    Ok(crate::OK)
}

async fn set(name: &str, value: Option<&str>, of: &Of) -> Result<()> {
    let app = here::app(of.app.as_ref())?;
    let value = match value {
        Some(value) => value.to_owned(),
        None => tokio::task::spawn_blocking(read_value)
            .await
            .map_err(|e| Error::internal("reading the value failed").because(e))??,
    };
    let changed = of
        .remote
        .client()?
        .set_secret(&of.remote.project, &app, name, &value)
        .await
        .map_err(|e| of.remote.explain(e))?;
    output::say(&told(&changed.name, "is set", changed.published));
    Ok(())
}

async fn list(json: bool, of: &Of) -> Result<()> {
    let app = here::app(of.app.as_ref())?;
    let secrets = of
        .remote
        .client()?
        .secrets(&of.remote.project, &app)
        .await
        .map_err(|e| of.remote.explain(e))?;
    if json {
        return output::json(&secrets);
    }
    let mut table = Table::new(&["NAME", "SET (UTC)", "USED"], &[]);
    for secret in &secrets.secrets {
        let used = if secret.used { "yes" } else { "no" };
        table.row(vec![
            secret.name.clone(),
            time::seconds(secret.updated_us),
            used.to_owned(),
        ]);
    }
    table.print()
}

async fn remove(name: &str, of: &Of) -> Result<()> {
    let app = here::app(of.app.as_ref())?;
    let removed = of
        .remote
        .client()?
        .remove_secret(&of.remote.project, &app, name)
        .await;
    match removed {
        Ok(changed) => output::say(&told(&changed.name, "is forgotten", changed.published)),
        // What was asked for is so.
        Err(error) if error.kind == Kind::NotFound => {
            output::say(&format!("no value is set: {name}"));
        }
        Err(error) => return Err(of.remote.explain(error)),
    }
    Ok(())
}

fn told(name: &str, what: &str, published: bool) -> String {
    match published {
        true => format!("{name} {what}; the app serves with it from now on"),
        false => format!("{name} {what}; it counts from the next deploy on"),
    }
}

fn read_value() -> Result<String> {
    if std::io::stdin().is_terminal() {
        output::say("type the value, then Ctrl-D:");
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_VALUE + 2)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::invalid("cannot read the value from stdin").because(e))?;
    value_of(bytes)
}

fn value_of(bytes: Vec<u8>) -> Result<String> {
    let mut value =
        String::from_utf8(bytes).map_err(|_| Error::invalid("the value is not UTF-8"))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.len() as u64 > MAX_VALUE {
        return Err(Error::invalid(format!(
            "the value is longer than {MAX_VALUE} bytes"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_belongs_to_the_terminal() {
        for (bytes, value) in [
            (&b"s3cret\n"[..], "s3cret"),
            (b"s3cret\r\n", "s3cret"),
            (b"two\n\n", "two\n"),
            (b"", ""),
        ] {
            assert_eq!(value_of(bytes.to_vec()).unwrap(), value);
        }
        assert!(value_of(vec![0xff]).is_err());
        assert!(value_of(vec![b'x'; 70_000]).is_err());
    }
}

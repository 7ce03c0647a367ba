//! `gust config explain`: each value of a node's settings and where it came from; and the flags that `serve` shares.

use std::path::PathBuf;

use clap::Subcommand;
use gust_node::{
    Settings,
    layers::{self, Explained, From},
};
use gust_types::Result;
use toml::{Table as Toml, Value};

use crate::{
    output::{self, Table},
    remote,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print each setting of a node, its value and where that came from
    Explain {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// What a node can be told on the command line. The rest is in `node.toml` or in `GUST_<KEY>`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NodeArgs {
    /// The node's settings, a node.toml [env: GUST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder everything is kept in [default: $GUST_DATA, else ~/.local/share/gust]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where functions are served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the control API is served, or "off" [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    control: Option<String>,
    /// Where buckets are served to S3 clients, or "off" [default: off]
    #[arg(long, value_name = "ADDR")]
    s3: Option<String>,
    /// Where key-value stores are served to Redis clients, or "off" [default: off]
    #[arg(long, value_name = "ADDR")]
    redis: Option<String>,
    /// Where SQL databases are served to PostgreSQL clients, or "off" [default: off]
    #[arg(long, value_name = "ADDR")]
    postgres: Option<String>,
    /// Where queues and topics are served to clients of AWS, or "off" [default: off]
    #[arg(long, value_name = "ADDR")]
    aws: Option<String>,
    /// Apps answer on <app>.<domain> [default: gust.localhost]
    #[arg(long)]
    domain: Option<String>,
    /// Certificate chain, PEM; functions are then served over TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let Action::Explain { json, node } = &args.action;
    let (_, explained) = node.resolve()?;
    match json {
        true => output::json(&serde_json::json!({ "settings": explained }))?,
        false => table(&explained).print()?,
    }
    Ok(crate::OK)
}

// === impl NodeArgs ===

impl NodeArgs {
    /// Defaults, file, environment, flags.
    pub(crate) fn resolve(&self) -> Result<(Settings, Vec<Explained>)> {
        let read = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let file = self
            .config
            .clone()
            .or_else(|| read("GUST_CONFIG").map(PathBuf::from));
        let (mut settings, mut explained) = layers::resolve(file.as_deref(), read, self.flags())?;
        // One default for the node and for the commands that look for its token, whatever folder they are typed in.
        if let Some(data) = explained
            .iter_mut()
            .find(|e| e.key == "data" && e.from == From::Default)
        {
            settings.data = remote::data_folder();
            data.value =
                Some(Value::from(settings.data.to_string_lossy().into_owned()).to_string());
        }
        Ok((settings, explained))
    }

    fn flags(&self) -> Toml {
        let path = |path: &PathBuf| Value::from(path.to_string_lossy().into_owned());
        let text = |text: &String| Value::from(text.clone());
        let tls = self.tls_cert.as_ref().zip(self.tls_key.as_ref());
        let tls = tls.map(|(cert, key)| {
            let both = [("cert", path(cert)), ("key", path(key))];
            Value::from(
                both.map(|(k, v)| (k.to_owned(), v))
                    .into_iter()
                    .collect::<Toml>(),
            )
        });
        [
            ("data", self.data.as_ref().map(path)),
            ("listen", self.listen.as_ref().map(text)),
            ("control", self.control.as_ref().map(text)),
            ("s3", self.s3.as_ref().map(text)),
            ("redis", self.redis.as_ref().map(text)),
            ("postgres", self.postgres.as_ref().map(text)),
            ("aws", self.aws.as_ref().map(text)),
            ("domain", self.domain.as_ref().map(text)),
            ("tls", tls),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

fn table(explained: &[Explained]) -> Table {
    let mut table = Table::new(&["KEY", "VALUE", "FROM"], &[]);
    for setting in explained {
        let from = match setting.from {
            From::Default => "default".to_owned(),
            From::File => "file".to_owned(),
            From::Environment => format!("environment, GUST_{}", setting.key.to_uppercase()),
            From::Flag => format!("flag, {}", flag_of(&setting.key)),
        };
        let value = setting.value.clone().unwrap_or_else(|| "-".to_owned());
        table.row(vec![setting.key.clone(), value, from]);
    }
    table
}

/// What was typed: one setting has two flags.
fn flag_of(key: &str) -> String {
    match key {
        "tls" => "--tls-cert and --tls-key".to_owned(),
        key => format!("--{key}"),
    }
}

#[cfg(test)]
mod tests;

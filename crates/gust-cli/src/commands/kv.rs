//! `gust kv`: key-value stores of a project, by hand.

use bytes::Bytes;
use clap::Subcommand;
use gust_api::kv::{Increment, KeysQuery, SetQuery};
use gust_task::clock;
use gust_types::{Error, Label, Result, Span};
use serde::Serialize;

use crate::{input, output, remote::Of};

/// Keys asked for at once.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the stores of a project, or the keys of one
    Ls {
        /// The store
        store: Option<Label>,
        /// Only keys that begin so
        #[arg(default_value = "")]
        prefix: String,
        /// At most this many
        #[arg(short = 'n', long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        of: Of,
    },
    /// Print the value of a key
    Get {
        /// The store
        store: Label,
        /// The key
        key: String,
        #[command(flatten)]
        of: Of,
    },
    /// Set the value of a key; it is durable when this returns
    Set(Box<SetArgs>),
    /// Remove the values of keys
    Rm {
        /// The store
        store: Label,
        /// The keys
        #[arg(required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Add to a number and print the sum
    Incr {
        /// The store
        store: Label,
        /// The key; one without a value counts as 0
        key: String,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The store
    store: Label,
    /// The key
    key: String,
    /// The value; @FILE is that of a file, @- that of stdin
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// After how long it is gone, in whole seconds
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Span>,
    /// Only when the key has no value
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Only when the value has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[command(flatten)]
    of: Of,
}

/// A value as one document.
#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    /// As text, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    /// In base64, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_us: Option<u64>,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls {
            store: None, of, ..
        } => stores(of).await?,
        Action::Ls {
            store: Some(store),
            prefix,
            limit,
            of,
        } => keys(store, prefix, limit.unwrap_or(u64::MAX), of).await?,
        Action::Get { store, key, of } => get(store, key, of).await?,
        Action::Set(args) => set(args).await?,
        Action::Rm { store, keys, of } => remove(store, keys, of).await?,
        Action::Incr { store, key, by, of } => {
            let increment = Increment {
                key: key.clone(),
                by: *by,
            };
            let (client, project) = (of.remote.client()?, &of.remote.project);
            let sum = client.increment(project, store, &increment).await;
            let sum = sum.map_err(|e| of.remote.explain(e))?;
            match of.json {
                true => output::json(&sum)?,
                false => output::line(&sum.value.to_string())?,
            }
        }
    }
    Ok(crate::OK)
}

async fn stores(of: &Of) -> Result<()> {
    let stores = of.remote.client()?.stores(&of.remote.project).await;
    let stores = stores.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&stores);
    }
    let mut names = stores.stores.iter();
    names.try_for_each(|name| output::line(name.as_str()))
}

/// Prints page by page, so that a store of any size can be listed.
async fn keys(store: &Label, prefix: &str, limit: u64, of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    let mut left = limit;
    let mut query = KeysQuery {
        prefix: Some(prefix.to_owned()),
        ..KeysQuery::default()
    };
    while left > 0 {
        query.limit = Some(u64::from(PAGE).min(left) as u32);
        let page = client.keys(&of.remote.project, store, &query).await;
        let page = page.map_err(|e| of.remote.explain(e))?;
        left -= page.keys.len() as u64;
        query.after.clone_from(&page.next);
        match of.json {
            true => output::json(&page)?,
            false => {
                let mut keys = page.keys.iter();
                keys.try_for_each(|key| output::line(&output::printable(key)))?;
            }
        }
        if page.next.is_none() {
            break;
        }
    }
    Ok(())
}

async fn get(store: &Label, key: &str, of: &Of) -> Result<()> {
    let found = of.remote.client()?;
    let found = found.value(&of.remote.project, store, key).await;
    let found = found.map_err(|e| of.remote.explain(e))?;
    let found = found.ok_or_else(|| {
        let text = format!("the key has no value: {}", output::printable(key));
        Error::not_found(text).hint(format!("list keys with: gust kv ls {store}"))
    })?;
    if !of.json {
        return output::out(&found.bytes);
    }
    let value = std::str::from_utf8(&found.bytes).ok();
    let base64 = match gust_api::sql::SqlValue::blob(&found.bytes) {
        gust_api::sql::SqlValue::Blob { base64 } if value.is_none() => Some(base64),
        _ => None,
    };
    output::json(&Shown {
        key,
        value,
        base64,
        version: found.version,
        expires_us: found.expires_us.filter(|at| *at > clock::unix_micros()),
    })
}

async fn set(args: &SetArgs) -> Result<()> {
    let of = &args.of;
    let ttl = args.ttl.map(|ttl| ttl.0);
    if ttl.is_some_and(|ttl| ttl.is_zero() || ttl.subsec_nanos() > 0) {
        return Err(Error::invalid("the time is in whole seconds, 1 at least"));
    }
    let how = SetQuery {
        ttl: ttl.map(|ttl| ttl.as_secs()),
        if_absent: args.if_absent,
        if_version: args.if_version,
    };
    let value = Bytes::from(input::read(&args.value)?);
    let (client, project) = (of.remote.client()?, &of.remote.project);
    let set = client
        .set_value((project, &args.store, &args.key), value, &how)
        .await;
    let set = set.map_err(|e| of.remote.explain(e))?;
    match of.json {
        true => output::json(&set),
        false => output::line(&set.version.to_string()),
    }
}

async fn remove(store: &Label, keys: &[String], of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    for key in keys {
        let removed = client.delete_value(&of.remote.project, store, key);
        removed.await.map_err(|e| of.remote.explain(e))?;
    }
    match of.json {
        true => output::json(&serde_json::json!({ "count": keys.len() })),
        false => Ok(()),
    }
}

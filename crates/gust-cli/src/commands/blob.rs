//! `gust blob`: buckets and their objects.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use clap::Subcommand;
use gust_api::{
    blob::{Damaged, Object, ObjectsQuery, Scrub},
    client::blobs::{Download, Put},
};
use gust_task::clock;
use gust_types::{Error, Label, Result};
use serde::Serialize;

use crate::{
    input::Attribute,
    output::{self, Table},
    progress::Bars,
    remote::Of,
    target::Target,
};

/// Objects asked for at once.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the buckets of a project, or the objects of one
    Ls {
        /// The bucket, or the bucket and what keys begin with
        #[arg(value_name = "BUCKET[/PREFIX]")]
        place: Option<Place>,
        /// Also what is further down: every key, not only up to the next slash
        #[arg(short, long)]
        recursive: bool,
        /// At most this many
        #[arg(short = 'n', long, value_name = "N")]
        limit: Option<u64>,
        #[command(flatten)]
        of: Of,
    },
    /// Put an object; it is durable when this returns
    Put(Box<PutArgs>),
    /// Get an object
    Get {
        /// Which
        #[arg(value_name = "BUCKET/KEY")]
        object: Named,
        /// Where to; - is stdout
        #[arg(default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Remove objects
    Rm {
        /// Which
        #[arg(value_name = "BUCKET/KEY", required = true)]
        objects: Vec<Named>,
        #[command(flatten)]
        of: Of,
    },
    /// Read every object whole and say which are damaged; the exit code is 1 when one is
    Scrub {
        /// Only this bucket
        bucket: Option<Label>,
        #[command(flatten)]
        of: Of,
    },
    /// Show what is known of an object
    Stat {
        /// Which
        #[arg(value_name = "BUCKET/KEY")]
        object: Named,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
struct PutArgs {
    /// What to put; - is stdin
    file: PathBuf,
    /// Where to. A key that ends in a slash gets the file's name
    #[arg(value_name = "BUCKET/KEY")]
    object: Named,
    /// Its media type [default: what the key's ending says]
    #[arg(short = 't', long, value_name = "TYPE")]
    content_type: Option<String>,
    /// What you say of it; may be repeated
    #[arg(short, long = "metadata", value_name = "NAME=VALUE")]
    metadata: Vec<Attribute>,
    /// Only when there is no such object
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,
    /// Only when the object has this etag
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
    #[command(flatten)]
    of: Of,
}

/// A bucket, and what keys in it begin with.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    bucket: Label,
    prefix: String,
}

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    bucket: Label,
    key: String,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls {
            place: None, of, ..
        } => buckets(of).await?,
        Action::Ls {
            place: Some(place),
            recursive,
            limit,
            of,
        } => list(place, *recursive, limit.unwrap_or(u64::MAX), of).await?,
        Action::Put(args) => put(args).await?,
        Action::Get { object, file, of } => get(object, file, of).await?,
        Action::Rm { objects, of } => remove(objects, of).await?,
        Action::Scrub { bucket, of } => return scrub(bucket.as_ref(), of).await,
        Action::Stat { object, of } => stat(object, of).await?,
    }
    Ok(0)
}

async fn buckets(of: &Of) -> Result<()> {
    let buckets = of.remote.client()?.buckets(&of.remote.project).await;
    let buckets = buckets.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&buckets);
    }
    buckets
        .buckets
        .iter()
        .try_for_each(|bucket| output::line(bucket.as_str()))
}

/// Prints page by page, so that a bucket of any size can be listed.
async fn list(place: &Place, recursive: bool, limit: u64, of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    let (mut left, mut first) = (limit, true);
    let mut query = ObjectsQuery {
        prefix: Some(place.prefix.clone()),
        delimiter: (!recursive).then(|| "/".to_owned()),
        ..ObjectsQuery::default()
    };
    loop {
        query.limit = Some(u64::from(PAGE).min(left) as u32);
        let page = client
            .objects(&of.remote.project, &place.bucket, &query)
            .await;
        let page = page.map_err(|e| of.remote.explain(e))?;
        left -= (page.objects.len() + page.prefixes.len()) as u64;
        query.after.clone_from(&page.next);
        match of.json {
            true => output::json(&page)?,
            false => print(&page.prefixes, &page.objects, first)?,
        }
        first = false;
        if page.next.is_none() || left == 0 {
            return Ok(());
        }
    }
}

fn print(prefixes: &[String], objects: &[Object], heading: bool) -> Result<()> {
    let mut table = Table::new(&["SIZE", "AGE", "TYPE", "KEY"], &[0, 1]);
    let now_us = clock::unix_micros();
    for prefix in prefixes {
        let blank = String::new;
        table.row(vec![blank(), blank(), blank(), output::printable(prefix)]);
    }
    for object in objects {
        table.row(vec![
            object.size.to_string(),
            output::micros(now_us.saturating_sub(object.modified_us)),
            output::printable(&object.content_type),
            output::printable(&object.key),
        ]);
    }
    let text = table.text();
    let shown = match heading {
        true => &*text,
        false => text.split_once('\n').map_or("", |(_, rows)| rows),
    };
    output::out(shown.as_bytes())
}

async fn put(args: &PutArgs) -> Result<()> {
    let (of, remote) = (&args.of, &args.of.remote);
    let key = args.key()?;
    let said = Put {
        content_type: args.content_type.clone().or_else(|| media_type(&key)),
        metadata: metadata(&args.metadata)?,
        if_absent: args.if_absent,
        if_match: args.if_match.clone(),
    };
    let client = remote.client()?;
    let place = (&remote.project, &args.object.bucket, &*key);
    let bars = Bars::new();
    let what = format!("put {}/{}", args.object.bucket, output::printable(&key));
    let object = if args.file == Path::new("-") {
        let bar = bars.spinner(&what);
        let heard = Arc::new(move |sent: u64| bar.set_message(format!("{sent} bytes")));
        client
            .put_object(place, tokio::io::stdin(), None, &said, heard)
            .await
    } else {
        let fault = |e| Error::invalid(format!("cannot read: {}", args.file.display())).because(e);
        let file = tokio::fs::File::open(&args.file).await.map_err(fault)?;
        let about = file.metadata().await.map_err(fault)?;
        let size = about.is_file().then_some(about.len());
        let bar = bars.bytes(&what, size.unwrap_or(0));
        let heard = Arc::new(move |sent| bar.set_position(sent));
        client.put_object(place, file, size, &said, heard).await
    };
    bars.clear();
    let object = object.map_err(|e| remote.explain(e))?;
    match of.json {
        true => output::json(&object),
        false => output::line(&object.etag),
    }
}

async fn get(object: &Named, file: &Path, of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    let Named { bucket, key } = object;
    let got = client.get_object(&of.remote.project, bucket, key).await;
    let mut download = got.map_err(|e| of.remote.explain(e))?;
    if file == Path::new("-") {
        if of.json {
            return Err(
                Error::invalid("stdout cannot have both the bytes and the document")
                    .hint("name a file, or use gust blob stat"),
            );
        }
        // Bars would be drawn into what is shown there.
        let drawn = !std::io::stdout().is_terminal();
        let bars = drawn.then(Bars::new);
        let bar = bars
            .as_ref()
            .map(|bars| bars.bytes(&format!("get {object}"), download.object.size));
        let mut got = 0;
        while let Some(bytes) = download.next().await? {
            output::out(&bytes)?;
            got += bytes.len() as u64;
            bar.iter().for_each(|bar| bar.set_position(got));
        }
        bars.iter().for_each(Bars::clear);
        return Ok(());
    }
    save(&mut download, file, &format!("get {object}")).await?;
    match of.json {
        true => output::json(&download.object),
        false => Ok(()),
    }
}

/// Writes beside the file and takes its place when all bytes are there: what breaks off leaves nothing.
async fn save(download: &mut Download, file: &Path, what: &str) -> Result<()> {
    let mut to = Target::open(file)?;
    let bars = Bars::new();
    let bar = bars.bytes(what, download.object.size);
    let mut got = 0;
    while let Some(bytes) = download.next().await? {
        to.write(&bytes).await?;
        got += bytes.len() as u64;
        bar.set_position(got);
    }
    bars.clear();
    to.keep().await
}

async fn remove(objects: &[Named], of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    for object in objects {
        let Named { bucket, key } = object;
        let removed = client.delete_object(&of.remote.project, bucket, key, None);
        removed.await.map_err(|e| of.remote.explain(e))?;
    }
    match of.json {
        true => output::json(&serde_json::json!({ "count": objects.len() })),
        false => Ok(()),
    }
}

/// What a scrub found altogether.
#[derive(Default, Serialize)]
struct Found {
    buckets: usize,
    objects: u64,
    bytes: u64,
    damaged: Vec<FoundDamaged>,
}

#[derive(Serialize)]
struct FoundDamaged {
    bucket: Label,
    #[serde(flatten)]
    object: Damaged,
}

async fn scrub(bucket: Option<&Label>, of: &Of) -> Result<u8> {
    let (client, project) = (of.remote.client()?, &of.remote.project);
    let explain = |error| of.remote.explain(error);
    let all = client.buckets(project).await.map_err(explain)?.buckets;
    let buckets = match bucket {
        None => all,
        Some(one) if all.contains(one) => vec![one.clone()],
        Some(one) => {
            return Err(Error::not_found(format!("no such bucket: {one}"))
                .hint("list them with: gust blob ls"));
        }
    };
    let (bars, mut found) = (Bars::new(), Found::default());
    for bucket in buckets {
        let bar = bars.spinner(&format!("scrub {bucket}"));
        let mut next = Scrub::default();
        loop {
            let some = client.scrub(project, &bucket, &next).await;
            let some = some.map_err(explain)?;
            found.objects += some.objects;
            found.bytes += some.bytes;
            let damaged = some.damaged.into_iter().map(|object| FoundDamaged {
                bucket: bucket.clone(),
                object,
            });
            found.damaged.extend(damaged);
            bar.set_message(format!("{} objects, {} bytes", found.objects, found.bytes));
            match some.next {
                Some(after) => next.after = Some(after),
                None => break,
            }
        }
        bar.finish_and_clear();
        found.buckets += 1;
    }
    bars.clear();
    let code = u8::from(!found.damaged.is_empty());
    if of.json {
        output::json(&found)?;
        return Ok(code);
    }
    for FoundDamaged { bucket, object } in &found.damaged {
        let key = output::printable(&object.key);
        output::line(&format!("{bucket}/{key}: {}", object.message))?;
    }
    output::say(&format!(
        "{} objects with {} bytes in {} buckets, {} damaged",
        found.objects,
        found.bytes,
        found.buckets,
        found.damaged.len()
    ));
    Ok(code)
}

async fn stat(named: &Named, of: &Of) -> Result<()> {
    let client = of.remote.client()?;
    let Named { bucket, key } = named;
    let object = client.object(&of.remote.project, bucket, key).await;
    let object = object.map_err(|e| of.remote.explain(e))?;
    let object = object.ok_or_else(|| Error::not_found(format!("no such object: {named}")))?;
    if of.json {
        return output::json(&object);
    }
    let age = output::micros(clock::unix_micros().saturating_sub(object.modified_us));
    let mut lines = vec![
        ("key", object.key),
        ("size", object.size.to_string()),
        ("type", object.content_type),
        ("etag", object.etag),
        ("version", object.version),
        ("put", format!("{age} ago")),
    ];
    let said = object.metadata.iter();
    lines.extend(said.map(|(name, value)| ("metadata", format!("{name}={value}"))));
    lines.into_iter().try_for_each(|(name, text)| {
        output::line(&format!("{name:<9} {}", output::printable(&text)))
    })
}

/// What the ending of a key says.
fn media_type(key: &str) -> Option<String> {
    let guess = mime_guess::from_path(key).first_raw();
    guess.map(str::to_owned)
}

fn metadata(given: &[Attribute]) -> Result<BTreeMap<String, String>> {
    let mut metadata = BTreeMap::new();
    for Attribute(name, value) in given {
        if metadata.insert(name.clone(), value.clone()).is_some() {
            return Err(Error::invalid(format!("said twice: {name}")));
        }
    }
    Ok(metadata)
}

// === impl PutArgs ===

impl PutArgs {
    fn key(&self) -> Result<String> {
        let key = &self.object.key;
        if !key.ends_with('/') {
            return Ok(key.clone());
        }
        let name = self.file.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| *name != "-");
        let name = name.ok_or_else(|| {
            Error::invalid(format!("the file has no name to put behind: {key}"))
                .hint("write the whole key")
        })?;
        Ok(format!("{key}{name}"))
    }
}

// === impl Place and Named ===

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self {
            bucket: Label::new(bucket)?,
            prefix: prefix.to_owned(),
        })
    }
}

impl FromStr for Named {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').filter(|(_, key)| !key.is_empty());
        let (bucket, key) = parts.ok_or_else(|| Error::invalid("write it as BUCKET/KEY"))?;
        Ok(Self {
            bucket: Label::new(bucket)?,
            key: key.to_owned(),
        })
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.bucket, output::printable(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_at_the_first_slash() {
        let named: Named = "photos/照片/一 %2F.jpg".parse().unwrap();
        assert_eq!(
            (named.bucket.as_str(), &*named.key),
            ("photos", "照片/一 %2F.jpg")
        );
        let named: Named = "photos//".parse().unwrap();
        assert_eq!(named.key, "/");
        for bad in ["photos", "photos/", "/k", "照片/k", ""] {
            assert!(bad.parse::<Named>().is_err(), "{bad}");
        }
        let place: Place = "photos".parse().unwrap();
        assert_eq!(place.prefix, "");
        let place: Place = "photos/in/".parse().unwrap();
        assert_eq!(place.prefix, "in/");
    }

    #[test]
    fn the_ending_of_a_key_says_its_type() {
        assert_eq!(media_type("in/猫.jpg").as_deref(), Some("image/jpeg"));
        assert_eq!(media_type("jpg"), None);
    }
}

//! What a project keeps and whose changes are events: how it is named, and which events there are.
//!
//! The changes of a resource are a topic of their own, which the platform keeps and only the resource writes to. People
//! call it `kv:default`; among topics it is reserved, so nobody else can have it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Label, Result};

/// A resource whose changes are events: written `kv:default`, `sql:shop`, `blob:photos`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Watched {
    /// A key-value store.
    Kv(Label),
    /// A SQL database.
    Sql(Label),
    /// A bucket of objects.
    Blob(Label),
}

/// What happened to one thing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A key got a value.
    Set,
    /// An object was put.
    Created,
    /// A row came.
    Inserted,
    /// A row became another.
    Updated,
    /// It is gone.
    Deleted,
}

/// A topic as people name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TopicName {
    /// One that everybody may publish to.
    Own(Label),
    /// The changes of a resource: read only.
    Changes(Watched),
}

// === impl Watched ===

impl Watched {
    /// Of this kind and name.
    fn of(kind: &str, name: Label) -> Option<Self> {
        match kind {
            "kv" => Some(Self::Kv(name)),
            "sql" => Some(Self::Sql(name)),
            "blob" => Some(Self::Blob(name)),
            _ => None,
        }
    }

    /// The word for what it is, the manifest's too.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kv(_) => "kv",
            Self::Sql(_) => "sql",
            Self::Blob(_) => "blob",
        }
    }

    /// Its name in the project.
    pub fn name(&self) -> &Label {
        match self {
            Self::Kv(name) | Self::Sql(name) | Self::Blob(name) => name,
        }
    }

    /// The topic that its changes are kept in.
    pub fn topic(&self) -> Label {
        Label::reserved(&format!("{}/{}", self.kind(), self.name()))
    }

    /// What keeps its changes in this topic, if it is such a one.
    pub fn of_topic(topic: &Label) -> Option<Self> {
        let (kind, name) = topic.as_str().strip_prefix('.')?.split_once('/')?;
        Self::of(kind, Label::new(name).ok()?)
    }

    /// The source of its events.
    pub fn source(&self) -> String {
        match self {
            Self::Blob(name) => format!("/blobs/{name}"),
            _ => format!("/{}/{}", self.kind(), self.name()),
        }
    }

    /// The source of events of one of its tables. SQLite compares names without regard to case, and so does this.
    pub fn source_of_table(&self, table: &str) -> String {
        let mut source = format!("{}/", self.source());
        for byte in table.to_ascii_lowercase().bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    source.push(char::from(byte));
                }
                byte => {
                    use std::fmt::Write as _;
                    let _ = write!(source, "%{byte:02X}");
                }
            }
        }
        source
    }

    /// What can happen to things in it.
    pub fn kinds(&self) -> &'static [ChangeKind] {
        match self {
            Self::Kv(_) => &[ChangeKind::Set, ChangeKind::Deleted],
            Self::Blob(_) => &[ChangeKind::Created, ChangeKind::Deleted],
            Self::Sql(_) => &[
                ChangeKind::Inserted,
                ChangeKind::Updated,
                ChangeKind::Deleted,
            ],
        }
    }

    /// The type of the event of such a change.
    pub fn event_type(&self, kind: ChangeKind) -> String {
        format!("gust.{}.{}", self.kind(), kind.as_str())
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl std::str::FromStr for Watched {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::invalid(format!("nothing whose changes are kept: {text:?}"))
                .hint("write kv:STORE, sql:DATABASE or blob:BUCKET")
        };
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        Self::of(kind, Label::new(name)?).ok_or_else(unknown)
    }
}

impl From<Watched> for String {
    fn from(watched: Watched) -> Self {
        watched.to_string()
    }
}

impl TryFrom<String> for Watched {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

// === impl ChangeKind ===

impl ChangeKind {
    /// The manifest's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Created => "created",
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

// === impl TopicName ===

impl TopicName {
    /// What it is called where topics are kept.
    pub fn label(&self) -> Label {
        match self {
            Self::Own(label) => label.clone(),
            Self::Changes(of) => of.topic(),
        }
    }

    /// The topic, when everybody may publish to it.
    pub fn publishable(&self) -> Result<&Label> {
        match self {
            Self::Own(label) => Ok(label),
            Self::Changes(of) => Err(Error::denied(format!(
                "the changes of a resource are read only: {of}"
            ))
            .hint("what changes the resource publishes them; publish to a topic of your own")),
        }
    }
}

impl From<Label> for TopicName {
    fn from(topic: Label) -> Self {
        match Watched::of_topic(&topic) {
            Some(of) => Self::Changes(of),
            None => Self::Own(topic),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(label) => label.fmt(f),
            Self::Changes(of) => of.fmt(f),
        }
    }
}

impl std::str::FromStr for TopicName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.contains(':') {
            true => text.parse().map(Self::Changes),
            false => Label::new(text).map(Self::Own),
        }
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for TopicName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_read_back_and_are_nobody_elses() {
        for text in ["kv:default", "sql:my_shop", "blob:photos"] {
            let name: TopicName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert!(name.publishable().is_err());
            assert_eq!(TopicName::from(name.label()), name);
            assert!(Label::new(name.label().as_str()).is_err(), "reserved");
        }
        let own: TopicName = "orders".parse().unwrap();
        assert_eq!(own.publishable().unwrap().as_str(), "orders");
        for bad in ["kv:", "kv:a/b", "table:x", ":", "kv:订单", ".kv/default"] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad}");
        }
        let of = Watched::Kv(Label::new("default").unwrap());
        assert_eq!(of.event_type(ChangeKind::Set), "gust.kv.set");
        assert_eq!(of.source(), "/kv/default");
        let of = Watched::Sql(Label::new("shop").unwrap());
        assert_eq!(of.source_of_table("Order items"), "/sql/shop/order%20items");
        assert_eq!(of.source_of_table("订"), "/sql/shop/%E8%AE%A2");
    }
}

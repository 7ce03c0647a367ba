//! What happened somewhere: a CloudEvent 1.0, and always a valid one.
//!
//! An [`Event`] is attributes by name and perhaps data. Every attribute comes in through [`Event::set`], which checks its
//! name, its type and the limits, so nothing behind it asks again. Where an event comes from and how it is written on a
//! wire is for `gust-events`.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;

pub use cause::Cause;
pub use value::Value;

use crate::{Error, Result, call::Trace};

mod cause;
mod check;
mod value;

/// One event. It has an id, a source and a type from the start and cannot lose them.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// All of them, the core ones too; only `specversion` is not kept, since there is one.
    attributes: BTreeMap<Cow<'static, str>, Value>,
    /// Bytes of all names and values, as they are written in headers before any escapes.
    attribute_bytes: usize,
    data: Option<Data>,
}

/// What an event carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The payload, as `datacontenttype` has it.
    pub bytes: Bytes,
    /// What it is meant as, which decides how it is written inside JSON.
    pub form: Form,
}

/// What a payload is meant as. This is what its sender said: nobody has read the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A JSON document.
    Json,
    /// Text in UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// Text as the value of an HTTP header has it: the binding's percent-encoding of everything outside ASCII, of spaces,
/// quotes, percent signs and control characters.
pub fn in_header(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' | 0..=b' ' | 0x7f.. => {
                use std::fmt::Write as _;
                let _ = write!(written, "%{byte:02X}");
            }
            byte => written.push(char::from(byte)),
        }
    }
    written
}

/// Whether the text of an attribute may hold this: no control character, and none of the code points that Unicode keeps from
/// ever being characters.
pub fn may_hold(c: char) -> bool {
    check::is_character(c)
}

static SPEC_VERSION: LazyLock<Value> =
    LazyLock::new(|| Value::String(Event::SPEC_VERSION.to_owned()));

/// Whether the platform itself says this of an event, and no more of it than it would.
fn is_ours(name: &str, value: &Value) -> bool {
    let mut ours = Event::OURS.iter();
    ours.any(|(own, most)| *own == name && value.written_len() <= *most)
}

// === impl Event ===

impl Event {
    /// The one version of the specification that is spoken.
    pub const SPEC_VERSION: &str = "1.0";
    /// Attributes beside the core ones. The specification sets no bound; its authors advise against more than a few.
    pub const MAX_EXTENSIONS: usize = 64;
    /// Bytes of all attributes together, names and values: what the specification asks everyone to forward.
    pub const MAX_ATTRIBUTE_BYTES: usize = 64 << 10;
    /// Letters of a name. The specification advises against more than 20, and forbids nothing: longer ones exist.
    pub const MAX_NAME: usize = 64;

    /// How the media types of events themselves start; what they carry is of another.
    pub const MEDIA_TYPES: &str = "application/cloudevents";

    /// The attributes that the specification names; all others are extensions.
    pub const CORE: [&str; 8] = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
    ];
    /// Those that no event is without.
    pub const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

    /// The extension that says which events keep their order among each other.
    pub const PARTITION_KEY: &str = "partitionkey";
    /// The extension that counts the functions an event went through, so that a loop ends.
    pub const HOPS: &str = "gusthops";
    /// Functions that an event may go through; what it leads to after that is a loop.
    pub const MAX_HOPS: u32 = 16;
    /// The extension that names the triggers an event went through, the last ones at the end, with commas between.
    pub const TRAIL: &str = "gusttrail";
    /// The distributed tracing extension: the header of the same name.
    pub const TRACE_PARENT: &str = "traceparent";
    /// The distributed tracing extension: the header of the same name.
    pub const TRACE_STATE: &str = "tracestate";

    /// What the platform itself says of an event, and the bytes of it that do not count: an event that is at its limits when
    /// it comes in has room for them on its way.
    const OURS: [(&str, usize); 6] = [
        ("gustattempt", 16),
        (Self::HOPS, 16),
        (Self::TRAIL, 4096),
        ("gustapp", 128),
        ("gusttrigger", 128),
        (Self::TRACE_PARENT, 64),
    ];
    /// How many that are.
    pub const UNCOUNTED: usize = Self::OURS.len();

    /// Could an attribute have this name?
    pub fn is_name(name: &str) -> bool {
        check::name(name).is_ok()
    }

    /// An event of this id, source and type.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        kind: impl Into<String>,
    ) -> Result<Self> {
        let mut event = Self::unfinished();
        event.set("id", id.into())?;
        event.set("source", source.into())?;
        event.set("type", kind.into())?;
        Ok(event)
    }

    /// An event of what was read somewhere. All required attributes have to be there, `specversion` too, and none twice.
    pub fn from_attributes<N: AsRef<str>>(
        attributes: impl IntoIterator<Item = (N, Value)>,
        data: Option<Data>,
    ) -> Result<Self> {
        let mut event = Self::unfinished();
        let mut versioned = false;
        for (name, value) in attributes {
            let name = name.as_ref();
            let again = event.attributes.contains_key(name) || versioned && name == "specversion";
            if again {
                return Err(Error::invalid(format!(
                    "an attribute is there twice: {name}"
                )));
            }
            versioned |= name == "specversion";
            event.set(name, value)?;
        }
        event.data = data;
        let missing = Self::REQUIRED.iter().find(|name| match **name {
            "specversion" => !versioned,
            name => !event.attributes.contains_key(name),
        });
        match missing {
            Some(name) => Err(Error::invalid(format!(
                "a required attribute is missing: {name}"
            ))),
            None => Ok(event),
        }
    }

    /// Never given away before its required attributes are set.
    fn unfinished() -> Self {
        Self {
            attributes: BTreeMap::new(),
            attribute_bytes: 0,
            data: None,
        }
    }

    /// The same event with this attribute.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Self> {
        self.set(name, value)?;
        Ok(self)
    }

    /// The same event with this data.
    #[must_use]
    pub fn with_data(mut self, data: Data) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets an attribute, a core one or an extension. Text becomes what the attribute is (`time` a timestamp and so on),
    /// and has to be one.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<()> {
        check::name(name)?;
        let value = check::value(name, value.into())?;
        if name == "specversion" {
            return Ok(());
        }
        let known = self.attributes.get(name);
        let freed = known.map_or(0, |old| name.len() + old.written_len());
        let added = name.len() + value.written_len();
        let bytes = (self.attribute_bytes - freed).saturating_add(added);
        let ours = is_ours(name, &value);
        let uncounted = self.ours().filter(|(other, _)| *other != name);
        let uncounted: usize = uncounted.map(|(n, v)| n.len() + v.written_len()).sum();
        let counted = bytes - uncounted;
        if !ours && counted > Self::MAX_ATTRIBUTE_BYTES {
            return Err(Error::invalid(format!(
                "the attributes are over {} bytes together, with: {name}",
                Self::MAX_ATTRIBUTE_BYTES
            ))
            .hint("large things belong in the data"));
        }
        if known.is_none_or(|known| is_ours(name, known))
            && !ours
            && !Self::CORE.contains(&name)
            && self.counted().0 >= Self::MAX_EXTENSIONS
        {
            return Err(Error::invalid(format!(
                "more than {} extensions, with: {name}",
                Self::MAX_EXTENSIONS
            )));
        }
        self.attribute_bytes = bytes;
        let core = Self::CORE.into_iter().find(|core| *core == name);
        let name = core.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        self.attributes.insert(name, value);
        Ok(())
    }

    /// Takes an attribute away and gives it back. Required ones stay.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        if Self::REQUIRED.contains(&name) {
            return None;
        }
        let value = self.attributes.remove(name)?;
        self.attribute_bytes -= name.len() + value.written_len();
        Some(value)
    }

    /// An attribute by its name, a core one or an extension.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        match name {
            "specversion" => Some(&SPEC_VERSION),
            name => self.attributes.get(name),
        }
    }

    /// All attributes by name, `specversion` first.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        let version: &Value = &SPEC_VERSION;
        let kept = self.attributes.iter().map(|(n, v)| (&**n, v));
        std::iter::once(("specversion", version)).chain(kept)
    }

    /// The attributes that the specification does not name.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.attributes.iter().map(|(n, v)| (&**n, v));
        all.filter(|(name, _)| !Self::CORE.contains(name))
    }

    /// How many extensions count, and how many bytes of all attributes: all but what the platform itself says.
    pub fn counted(&self) -> (usize, usize) {
        let (mut extensions, mut bytes) = (self.extensions().count(), self.attribute_bytes);
        for (name, value) in self.ours() {
            extensions -= 1;
            bytes -= name.len() + value.written_len();
        }
        (extensions, bytes)
    }

    fn ours(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let found = |(name, _)| Some((name, self.attributes.get(name)?));
        let all = Self::OURS.into_iter().filter_map(found);
        all.filter(|(name, value)| is_ours(name, value))
    }

    /// With the source, what tells it from all other events.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// Where it happened: a URI reference.
    pub fn source(&self) -> &str {
        self.text("source").unwrap_or_default()
    }

    /// What sort of thing happened: the attribute `type`.
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// What, within the source, it is about.
    pub fn subject(&self) -> Option<&str> {
        self.text("subject")
    }

    /// When it happened, in RFC 3339.
    pub fn time(&self) -> Option<&str> {
        self.text("time")
    }

    /// The media type of the data.
    pub fn datacontenttype(&self) -> Option<&str> {
        self.text("datacontenttype")
    }

    /// The URI of what describes the data.
    pub fn dataschema(&self) -> Option<&str> {
        self.text("dataschema")
    }

    /// What it carries.
    pub fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }

    /// Events of one key stay in their order.
    pub fn partitionkey(&self) -> Option<&str> {
        self.text(Self::PARTITION_KEY)
    }

    /// How many functions it went through.
    pub fn hops(&self) -> u32 {
        match self.attributes.get(Self::HOPS) {
            Some(Value::Integer(hops)) => hops.unsigned_abs(),
            _ => 0,
        }
    }

    /// Its place in a distributed trace, as the header is written.
    pub fn traceparent(&self) -> Option<&str> {
        self.text(Self::TRACE_PARENT)
    }

    /// What other tracing systems keep with the trace.
    pub fn tracestate(&self) -> Option<&str> {
        self.text(Self::TRACE_STATE)
    }

    /// Its place in a distributed trace, if it names a valid one.
    pub fn trace(&self) -> Option<Trace> {
        Trace::parse(self.traceparent()?)
    }

    /// Bytes of all attributes, names and values.
    pub fn attribute_bytes(&self) -> usize {
        self.attribute_bytes
    }

    /// Bytes of attributes and data.
    pub fn size(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |data| data.bytes.len());
        self.attribute_bytes.saturating_add(data)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str()
    }
}

// === impl Data ===

impl Data {
    /// A JSON document.
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            form: Form::Json,
        }
    }

    /// Text in UTF-8.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            bytes: text.into().into(),
            form: Form::Text,
        }
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            form: Form::Binary,
        }
    }
}

#[cfg(test)]
mod tests;

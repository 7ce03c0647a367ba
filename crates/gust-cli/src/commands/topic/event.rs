//! An event out of the command line, in the JSON format.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_task::ids;
use gust_types::{Error, Result};
use serde_json::{Map, Value};

use crate::input::Attribute;

#[derive(Debug, clap::Args)]
pub(super) struct EventArgs {
    /// What sort of thing happened, such as order.placed
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// Where it happened: a URI or a path
    #[arg(long, default_value = "/gust/cli")]
    source: String,
    /// With the source, what tells it from all others [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// What, within the source, it is about
    #[arg(long)]
    subject: Option<String>,
    /// The data's media type [default: by what the data is]
    #[arg(long, value_name = "MEDIA-TYPE")]
    content_type: Option<String>,
    /// Another attribute; may be repeated. partitionkey keeps events in order
    #[arg(short, long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<Attribute>,
}

// === impl EventArgs ===

impl EventArgs {
    /// The event with this data.
    pub(super) fn write(&self, data: Option<Vec<u8>>) -> Result<Value> {
        let mut event = Map::new();
        let mut set = |name: &str, value: String| event.insert(name.to_owned(), value.into());
        set("specversion", "1.0".to_owned());
        let id = || ids::call_id().to_string();
        set("id", self.id.clone().unwrap_or_else(id));
        set("source", self.source.clone());
        set("type", self.kind.clone());
        if let Some(subject) = &self.subject {
            set("subject", subject.clone());
        }
        for Attribute(name, value) in &self.attributes {
            if matches!(name.as_str(), "data" | "data_base64") {
                let text = format!("not an attribute: {name}");
                return Err(Error::invalid(text).hint("give the data with --data or --file"));
            }
            if set(name, value.clone()).is_some() {
                return Err(Error::invalid(format!(
                    "an attribute is there twice: {name}"
                )));
            }
        }
        if let Some(data) = data {
            self.put_data(&mut event, data);
        }
        Ok(Value::Object(event))
    }

    fn put_data(&self, event: &mut Map<String, Value>, data: Vec<u8>) {
        let json = serde_json::from_slice::<Value>(&data).ok();
        let media = match &self.content_type {
            Some(media) => media.as_str(),
            None if matches!(json, Some(Value::Object(_) | Value::Array(_))) => "application/json",
            None if std::str::from_utf8(&data).is_ok() => "text/plain",
            None => "application/octet-stream",
        };
        event.insert("datacontenttype".to_owned(), media.into());
        let text = match media.starts_with("text/") {
            true => std::str::from_utf8(&data).ok(),
            false => None,
        };
        // As bytes, JSON keeps its digits and its spaces.
        match text {
            Some(text) => event.insert("data".to_owned(), text.into()),
            None => event.insert("data_base64".to_owned(), BASE64.encode(&data).into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(content_type: Option<&str>) -> EventArgs {
        EventArgs {
            kind: "t".into(),
            source: "/s".into(),
            id: Some("1".into()),
            subject: None,
            content_type: content_type.map(str::to_owned),
            attributes: vec![Attribute("colour".into(), "红".into())],
        }
    }

    #[test]
    fn data_is_what_it_looks_like() {
        let of = |media, data: &[u8]| args(media).write(Some(data.to_vec())).unwrap();
        let text = of(None, "正文".as_bytes());
        assert_eq!(text["datacontenttype"], "text/plain");
        assert_eq!(
            (&text["data"], &text["colour"]),
            (&"正文".into(), &"红".into())
        );
        let json = of(None, b"{\"n\":1.10}");
        assert_eq!(json["datacontenttype"], "application/json");
        assert_eq!(json["data_base64"], BASE64.encode(b"{\"n\":1.10}"));
        let bytes = of(None, &[0xff]);
        assert_eq!(bytes["datacontenttype"], "application/octet-stream");
        assert_eq!(of(Some("image/png"), b"x")["data_base64"], "eA==");
        let none = args(None).write(None).unwrap();
        assert!(none.get("data").is_none() && none.get("datacontenttype").is_none());
    }

    #[test]
    fn attributes_are_given_once() {
        let mut args = args(None);
        args.attributes.push(Attribute("id".into(), "2".into()));
        assert!(args.write(None).unwrap_err().message.contains("twice"));
        args.attributes = vec![Attribute("data".into(), "x".into())];
        assert!(args.write(None).is_err());
    }
}

//! The elements of an answer: of a list in JSON, or of lines. Each stays byte for byte what it was, numbers too.

use std::{collections::HashSet, fmt};

use bytes::Bytes;
use gust_types::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Found,
    seen::{MOST, Mark},
};

/// Letters of an id.
const ID: usize = 500;

/// Where the elements are, and what each is known by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Items {
    at: At,
    id: Option<Pointer>,
}

#[derive(Debug, Clone, PartialEq)]
enum At {
    List(Pointer),
    Lines,
}

/// A JSON pointer: the way to a value.
#[derive(Debug, Clone, PartialEq)]
struct Pointer(Vec<String>);

/// A list of no more elements than may be.
struct List<'a>(Vec<&'a RawValue>);

/// Goes one step of a way.
struct Step<'s>(&'s str);

// === impl Items ===

impl Items {
    pub(crate) fn parse(at: &str, id: Option<&str>) -> Result<Self> {
        let at = match at {
            "lines" => At::Lines,
            pointer => At::List(Pointer::parse("items", pointer)?),
        };
        let id = id.map(|id| Pointer::parse("id", id)).transpose()?;
        Ok(Self { at, id })
    }

    /// Each once, in their order.
    pub(crate) fn read(&self, bytes: &Bytes) -> Result<Vec<Found>> {
        let text = std::str::from_utf8(bytes).map_err(|_| strange("is not in UTF-8"))?;
        // Some editors put it in front of everything.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let elements = match &self.at {
            At::List(pointer) => {
                let found = pointer.find(text)?;
                let found = found.ok_or_else(|| strange("has nothing where `items` points"))?;
                let List(list) = serde_json::from_str(found).map_err(|error| {
                    strange("has no list where `items` points, or too long a one").because(error)
                })?;
                list.into_iter().map(RawValue::get).collect()
            }
            At::Lines => lines(text)?,
        };
        let mut known = HashSet::new();
        let mut found = Vec::with_capacity(elements.len());
        for element in elements {
            let one = self.element(bytes, element)?;
            if known.insert(one.mark) {
                found.push(one);
            }
        }
        Ok(found)
    }

    fn element(&self, bytes: &Bytes, element: &str) -> Result<Found> {
        let id = match &self.id {
            None => None,
            Some(pointer) => Some(identity(pointer.find(element)?)?),
        };
        Ok(Found {
            mark: Mark::of(id.as_deref().unwrap_or(element).as_bytes()),
            id,
            media: Some("application/json".to_owned()),
            bytes: bytes.slice_ref(element.as_bytes()),
        })
    }
}

/// What an element is known by: a text or a number.
fn identity(found: Option<&str>) -> Result<String> {
    let fault = || strange("has an element without a text or number where `id` points");
    let found = found.ok_or_else(fault)?;
    let id = match found.as_bytes().first() {
        Some(b'"') => serde_json::from_str(found).map_err(|_| fault())?,
        Some(b'-' | b'0'..=b'9') => found.to_owned(),
        _ => return Err(fault()),
    };
    match id.len() <= ID {
        true => Ok(id),
        false => Err(strange("has an element with an id of more than 500 bytes")),
    }
}

fn lines(text: &str) -> Result<Vec<&str>> {
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if serde_json::from_str::<IgnoredAny>(line).is_err() {
            return Err(strange("has a line that is no JSON"));
        }
        if lines.len() == MOST {
            return Err(strange("has more than 4096 lines"));
        }
        lines.push(line);
    }
    Ok(lines)
}

fn strange(why: &str) -> Error {
    Error::unavailable(format!("the answer {why}"))
}

// === impl Pointer ===

impl Pointer {
    fn parse(key: &str, text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(steps) = text.strip_prefix('/') else {
            return Err(
                Error::invalid(format!("`{key}` of http is no JSON pointer"))
                    .hint("write it like \"/data/items\", or \"\" for the answer as a whole"),
            );
        };
        let step = |step: &str| step.replace("~1", "/").replace("~0", "~");
        Ok(Self(steps.split('/').map(step).collect()))
    }

    /// The text of the value it points to.
    fn find<'t>(&self, text: &'t str) -> Result<Option<&'t str>> {
        let fault = |error| strange("is no JSON").because(error);
        let mut at: &RawValue = serde_json::from_str(text).map_err(fault)?;
        for step in &self.0 {
            let mut reader = serde_json::Deserializer::from_str(at.get());
            match Step(step).deserialize(&mut reader).map_err(fault)? {
                Some(found) => at = found,
                None => return Ok(None),
            }
        }
        Ok(Some(at.get()))
    }
}

// === impl List ===

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of {MOST} elements at most")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = of.next_element()? {
                    if list.len() == MOST {
                        return Err(serde::de::Error::invalid_length(MOST + 1, &self));
                    }
                    list.push(element);
                }
                Ok(list)
            }
        }
        from.deserialize_seq(Elements).map(List)
    }
}

// === impl Step ===

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut of: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = of.next_key::<String>()? {
            match key == self.0 {
                true => found = Some(of.next_value()?),
                false => drop(of.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = self.0.parse().ok();
        let (mut found, mut at) = (None, 0);
        while let Some(element) = of.next_element::<&RawValue>()? {
            if wanted == Some(at) {
                found = Some(element);
            }
            at += 1;
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: &str, id: Option<&str>, text: &str) -> Result<Vec<(Option<String>, String)>> {
        let items = Items::parse(at, id).unwrap();
        let found = items.read(&Bytes::from(text.to_owned()))?;
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(found
            .iter()
            .map(|one| (one.id.clone(), text(&one.bytes)))
            .collect())
    }

    #[test]
    fn elements_stay_what_they_are() {
        let feed = r#"{"version":"https://jsonfeed.org/version/1","items":[{"id":"a","n":1.50}, {"id":7,"t":"正文"},{"id":"a"}]}"#;
        assert_eq!(
            read("/items", Some("/id"), feed).unwrap(),
            [
                (Some("a".into()), r#"{"id":"a","n":1.50}"#.into()),
                (Some("7".into()), r#"{"id":7,"t":"正文"}"#.into())
            ]
        );
        let big = "[12345678901234567890123, \"x\",null,[1, 2]]";
        let texts: Vec<_> = read("", None, big)
            .unwrap()
            .into_iter()
            .map(|f| f.1)
            .collect();
        assert_eq!(
            texts,
            ["12345678901234567890123", "\"x\"", "null", "[1, 2]"]
        );
        let lines = read(
            "lines",
            Some("/a~1b/1"),
            "\u{feff}{\"a/b\":[0,1]}\r\n\n {\"a/b\":[0,-2]}",
        )
        .unwrap();
        assert_eq!(lines[0].0.as_deref(), Some("1"));
        assert_eq!(lines[1].0.as_deref(), Some("-2"));
        assert!(
            read("/data/0/x", None, r#"{"data":[{"x":[]}]}"#)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_as_agreed_is_said() {
        let many = format!("[{}0]", "0,".repeat(MOST));
        let long = format!(r#"[{{"id":"{}"}}]"#, "x".repeat(501));
        let deep = "[".repeat(100_000);
        for (at, id, text, about) in [
            ("", None, "{}", "no list"),
            ("", None, "<html>", "no JSON"),
            ("/a", None, "[]", "nothing where `items`"),
            ("/a/b", None, r#"{"a":"b"}"#, "nothing where `items`"),
            ("", None, many.as_str(), "too long"),
            ("", None, deep.as_str(), "no JSON"),
            ("", Some("/id"), "[{}]", "without a text or number"),
            ("", Some("/id"), "[7]", "without a text or number"),
            (
                "",
                Some("/id"),
                r#"[{"id":null}]"#,
                "without a text or number",
            ),
            ("", Some("/id"), long.as_str(), "more than 500"),
            ("lines", None, "{}\nx", "a line that is no JSON"),
        ] {
            let error = read(at, id, text).unwrap_err();
            assert!(error.message.contains(about), "{about}: {error:?}");
        }
        assert!(Items::parse("items", None).is_err());
        let bytes = Bytes::from_static(b"\xff[]");
        assert!(Items::parse("", None).unwrap().read(&bytes).is_err());
    }
}

//! The JSON event format: one event, or a list of them.
//!
//! A document is looked through once. Data stays as it is written, so that numbers keep their digits, and how deep it is
//! nested is nobody's matter here.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use gust_types::{
    Error, Event, Result,
    event::{Data, Form, Value},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;

use super::{Limits, declares_json, fits, too_many_extensions};

/// The members of an object, before anybody asks what they mean.
type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Reads an event and keeps what is wrong with it, which is more than the parser's error can carry.
struct One<'l> {
    limits: &'l Limits,
    fault: Option<Error>,
}

/// The same for a list.
struct Many<'l> {
    one: One<'l>,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// An event as the format has it.
struct Written<'a>(&'a Event);

/// How the data stands in the document.
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Base64(&'a [u8]),
}

pub(super) fn decode(body: &[u8], limits: &Limits) -> Result<Event> {
    let mut one = One {
        limits,
        fault: None,
    };
    match read(&mut one, body) {
        Ok(event) => Ok(event),
        Err(error) => Err(one
            .fault
            .unwrap_or_else(|| Error::invalid("not an event in JSON").because(error))),
    }
}

pub(super) fn decode_batch(body: &[u8], limits: &Limits) -> Result<Vec<Event>> {
    let mut many = Many {
        one: One {
            limits,
            fault: None,
        },
        events: Vec::new(),
    };
    match read(&mut many, body) {
        Ok(()) => Ok(many.events),
        Err(error) => Err(many
            .one
            .fault
            .unwrap_or_else(|| Error::invalid("not a batch of events in JSON").because(error))),
    }
}

fn read<'de, S: DeserializeSeed<'de>>(
    seed: S,
    body: &'de [u8],
) -> Result<S::Value, serde_json::Error> {
    let mut document = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut document)?;
    document.end()?;
    Ok(value)
}

pub(super) fn encode(event: &Event) -> Result<Bytes> {
    to_bytes(&Written(event))
}

pub(super) fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Bytes> {
    let events: Vec<_> = events.into_iter().map(Written).collect();
    to_bytes(&events)
}

fn to_bytes(value: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Error::internal("an event cannot be written as JSON").because(error))
}

// === impl One ===

impl<'de> DeserializeSeed<'de> for &mut One<'_> {
    type Value = Event;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Event, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut One<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Event, M::Error> {
        // The attributes, and the data.
        let most = self.limits.attributes() + 1;
        let mut members = Members::new();
        while let Some(Name(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            if value.get() == "null" && name != "data" {
                continue;
            }
            if members.len() >= most {
                self.fault = Some(too_many_extensions(self.limits));
                return Err(M::Error::custom("too many members"));
            }
            members.push((name, value));
        }
        event(members)
            .and_then(|event| fits(event, self.limits))
            .map_err(|error| {
                let told = M::Error::custom(&error);
                self.fault = Some(error);
                told
            })
    }
}

// === impl Many ===

impl<'de> DeserializeSeed<'de> for &mut Many<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Many<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        loop {
            let read = seq.next_element_seed(&mut self.one);
            let place = self.events.len() + 1;
            if let Some(fault) = &mut self.one.fault {
                fault.message = format!("event {place} of the batch: {}", fault.message);
            }
            let Some(event) = read? else {
                return Ok(());
            };
            let most = self.one.limits.batch_events;
            if place > most {
                let message = format!("a batch has too many events: more than {most}");
                self.one.fault = Some(Error::too_large(message));
                return Err(S::Error::custom("too many events"));
            }
            self.events.push(event);
        }
    }
}

fn event(members: Members<'_>) -> Result<Event> {
    let mut attributes = Vec::with_capacity(members.len());
    let (mut data, mut base64) = (None, None);
    for (name, value) in members {
        let slot = match &*name {
            "data" => &mut data,
            "data_base64" => &mut base64,
            _ => {
                let value = attribute(&name, value)?;
                attributes.push((name, value));
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(Error::invalid(format!("a member is there twice: {name}")));
        }
    }
    let event = Event::from_attributes(attributes, None)?;
    let media = event.datacontenttype();
    let data = match (data, base64) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "data is there in two forms: data and data_base64",
            ));
        }
        (Some(json), None) if media.is_none_or(declares_json) => {
            Data::json(Bytes::copy_from_slice(json.get().as_bytes()))
        }
        (Some(json), None) => Data::text(string(json).ok_or_else(|| {
            let media = media.unwrap_or_default();
            Error::invalid(format!("data of this type is a string in JSON: {media:?}"))
                .hint("or Base64 in data_base64")
        })?),
        (None, Some(text)) => Data::binary(decoded(text)?),
        (None, None) => return Ok(event),
    };
    Ok(event.with_data(data))
}

fn decoded(text: &RawValue) -> Result<Vec<u8>> {
    let text = string(text)
        .ok_or_else(|| Error::invalid("what should be Base64 is not a string: data_base64"))?;
    STANDARD
        .decode(text)
        .map_err(|error| Error::invalid("not Base64: data_base64").because(error))
}

/// The value of an attribute, of the types that JSON can tell apart.
fn attribute(name: &str, value: &RawValue) -> Result<Value> {
    let text = value.get();
    match text {
        "true" => return Ok(Value::Boolean(true)),
        "false" => return Ok(Value::Boolean(false)),
        _ => {}
    }
    if let Some(text) = string(value) {
        return Ok(Value::String(text));
    }
    let what = match text.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string of whole characters",
        _ => match text.parse() {
            Ok(number) => return Ok(Value::Integer(number)),
            Err(_) => "a number outside the integers of 32 bits",
        },
    };
    Err(Error::invalid(format!(
        "an attribute cannot be {what}: {name}"
    )))
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

// === impl Written ===

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (name, value) in self.0.attributes() {
            match value {
                Value::Boolean(value) => map.serialize_entry(name, value)?,
                Value::Integer(value) => map.serialize_entry(name, value)?,
                value => map.serialize_entry(name, &value.text())?,
            }
        }
        match self.0.data().map(|data| payload(self.0, data)) {
            Some(Payload::Json(json)) => map.serialize_entry("data", json)?,
            Some(Payload::Text(text)) => map.serialize_entry("data", text)?,
            Some(Payload::Base64(bytes)) => {
                map.serialize_entry("data_base64", &STANDARD.encode(bytes))?;
            }
            None => {}
        }
        map.end()
    }
}

/// What the data is meant as holds only where it is true: bytes that are no JSON, or no text, are written as bytes.
fn payload<'a>(event: &Event, data: &'a Data) -> Payload<'a> {
    let bytes = &*data.bytes;
    let json = || serde_json::from_slice(bytes).ok().map(Payload::Json);
    let text = || std::str::from_utf8(bytes).ok().map(Payload::Text);
    let read = match (data.form, event.datacontenttype()) {
        // Text without a type would be read as JSON.
        (Form::Binary, _) | (Form::Text, None) => None,
        (Form::Json, None) => json(),
        (Form::Json | Form::Text, Some(media)) if declares_json(media) => json(),
        (Form::Json | Form::Text, Some(_)) => text(),
    };
    read.unwrap_or(Payload::Base64(bytes))
}

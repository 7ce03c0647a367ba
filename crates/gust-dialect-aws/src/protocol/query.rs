//! Forms: `Action=SendMessage&MessageAttribute.1.Name=...`, read into what the JSON protocol would say.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Asked;
use crate::{
    fault::{Code, Result},
    operations::Service,
};

/// Parameters of one request: ten messages of ten attributes are about four hundred.
const MOST: usize = 2000;
/// Steps of one name.
const DEPTH: usize = 8;

/// What a form calls by another name than JSON does.
const RENAMED: &[(&str, &str)] = &[
    ("AttributeName", "AttributeNames"),
    ("MessageAttributeName", "MessageAttributeNames"),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames"),
    ("TagKey", "TagKeys"),
    ("Attribute", "Attributes"),
    ("MessageAttribute", "MessageAttributes"),
    ("MessageSystemAttribute", "MessageSystemAttributes"),
    ("Tag", "Tags"),
    ("SendMessageBatchRequestEntry", "Entries"),
    ("DeleteMessageBatchRequestEntry", "Entries"),
    ("ChangeMessageVisibilityBatchRequestEntry", "Entries"),
];
/// What is a map, though a form writes it as a list of names and values.
const MAPS: &[&str] = &[
    "Attributes",
    "MessageAttributes",
    "MessageSystemAttributes",
    "Tags",
];

/// Parameters by the steps of their names.
#[derive(Default)]
struct Node {
    value: Option<String>,
    below: BTreeMap<String, Node>,
}

pub(super) fn read(body: &[u8], signed: &str) -> Result<Asked> {
    let mut root = Node::default();
    let (mut action, mut version) = (String::new(), String::new());
    let pairs = body.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
    for (n, pair) in pairs.enumerate() {
        if n == MOST {
            return Err(Code::MALFORMED.says(format!("The form has more than {MOST} parameters.")));
        }
        let cut = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(cut);
        let value = decode(value.strip_prefix(b"=").unwrap_or(value))?;
        match decode(name)?.as_str() {
            "Action" => action = value,
            "Version" => version = value,
            name => root.put(name, value)?,
        }
    }
    if action.is_empty() {
        return Err(Code::NO_ACTION.says("The form has no Action."));
    }
    let service = match (version.as_str(), signed) {
        ("2012-11-05" | "2009-02-01" | "2011-10-01", _) => Service::Sqs,
        ("2010-03-31", _) => Service::Sns,
        (_, "sns") => Service::Sns,
        _ => Service::Sqs,
    };
    Ok(Asked {
        service,
        action,
        params: root.object(service),
    })
}

fn decode(text: &[u8]) -> Result<String> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(|_| Code::MALFORMED.says("The form is not UTF-8."))
}

// === impl Node ===

impl Node {
    fn put(&mut self, name: &str, value: String) -> Result<()> {
        let mut node = self;
        for (n, step) in name.split('.').enumerate() {
            if n == DEPTH {
                let text = format!("A parameter has more than {DEPTH} steps.");
                return Err(Code::MALFORMED.says(text));
            }
            node = node.below.entry(step.to_owned()).or_default();
        }
        match node.value.replace(value) {
            Some(_) => Err(Code::MALFORMED.says(format!("The form says this twice: {name}"))),
            None => Ok(()),
        }
    }

    fn object(self, service: Service) -> Value {
        let mut object = Map::new();
        for (name, node) in self.below {
            let renamed = RENAMED.iter().find(|(form, _)| *form == name);
            let name = match renamed {
                Some((_, json)) if service == Service::Sqs => (*json).to_owned(),
                _ => name,
            };
            let value = node.json(service, &name);
            object.insert(name, value);
        }
        Value::Object(object)
    }

    fn json(self, service: Service, name: &str) -> Value {
        if let Some(value) = self.value {
            return Value::String(value);
        }
        // Lists that are not flat have a step more.
        let mut node = self;
        if node.below.len() == 1
            && let Some((_, wrapped)) = node
                .below
                .extract_if(.., |name, _| name == "member" || name == "entry")
                .next()
        {
            node = wrapped;
        }
        let numbered = node.below.keys().all(|step| step.parse::<u32>().is_ok());
        if !numbered {
            return node.object(service);
        }
        let mut items: Vec<_> = node
            .below
            .into_iter()
            .map(|(step, node)| (step.parse::<u32>().unwrap_or_default(), node))
            .collect();
        items.sort_by_key(|(n, _)| *n);
        let items = items.into_iter().map(|(_, node)| node);
        // Of SNS's, tags are a list of pairs.
        let map = MAPS.contains(&name) && !(service == Service::Sns && name == "Tags");
        match map {
            true => Value::Object(items.filter_map(|node| node.pair(service)).collect()),
            false => Value::Array(items.map(|node| node.json(service, "")).collect()),
        }
    }

    /// A name and its value.
    fn pair(mut self, service: Service) -> Option<(String, Value)> {
        let mut take = |names: [&str; 3]| {
            let mut names = names.into_iter();
            names.find_map(|name| self.below.remove(name))
        };
        let name = take(["Name", "Key", "key"])?.value?;
        let value = take(["Value", "value", ""])?;
        Some((name, value.json(service, "")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_what_json_says() {
        let form = "Action=SendMessageBatch&Version=2012-11-05\
            &QueueUrl=http%3A%2F%2Fh%2F1%2Fq\
            &SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=%E4%BA%8C+x\
            &SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=1\
            &SendMessageBatchRequestEntry.10.Id=j\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=Number\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=3";
        let asked = read(form.as_bytes(), "").unwrap();
        assert_eq!(
            (asked.service, asked.action.as_str()),
            (Service::Sqs, "SendMessageBatch")
        );
        let wanted = serde_json::json!({
            "QueueUrl": "http://h/1/q",
            "Entries": [
                { "Id": "a", "MessageBody": "1", "MessageAttributes": { "n": { "DataType": "Number", "StringValue": "3" } } },
                { "Id": "b", "MessageBody": "二 x" },
                { "Id": "j" },
            ],
        });
        assert_eq!(asked.params, wanted);
        let form = "Action=Subscribe&Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value=true\
            &Tags.member.1.Key=k&Tags.member.1.Value=v";
        let asked = read(form.as_bytes(), "sns").unwrap();
        let wanted = serde_json::json!({
            "Attributes": { "RawMessageDelivery": "true" },
            "Tags": [{ "Key": "k", "Value": "v" }],
        });
        assert_eq!((asked.service, asked.params), (Service::Sns, wanted));
    }

    #[test]
    fn forms_that_make_no_sense_are_refused() {
        let deep = format!("Action=A&{}=1", ["a"; 9].join("."));
        let many = format!(
            "Action=A{}",
            (0..MOST).map(|n| format!("&p{n}=1")).collect::<String>()
        );
        for form in [
            "",
            "QueueUrl=q",
            "Action=A&a=1&a=2",
            "Action=%ff",
            &deep,
            &many,
        ] {
            assert!(read(form.as_bytes(), "").is_err(), "{form}");
        }
        // A value and steps below it: the value is what counts.
        let asked = read(b"Action=A&a=1&a.1=2&b..=3&.=4", "").unwrap();
        assert_eq!(asked.params["a"], "1");
    }
}

//! Answers to forms.

use serde_json::{Map, Value};

use crate::{fault::Fault, operations::Service};

/// Lists of SQS's, and what each of their items is called.
const ITEMS: &[(&str, &str)] = &[
    ("QueueUrls", "QueueUrl"),
    ("queueUrls", "QueueUrl"),
    ("Messages", "Message"),
    ("Failed", "BatchResultErrorEntry"),
    ("Results", "ListMessageMoveTasksResultEntry"),
];
/// Maps of SQS's: what each of their entries is called, its name and its value.
const ENTRIES: &[(&str, [&str; 3])] = &[
    ("Attributes", ["Attribute", "Name", "Value"]),
    ("MessageAttributes", ["MessageAttribute", "Name", "Value"]),
    ("Tags", ["Tag", "Key", "Value"]),
];

/// One document under way.
struct Writer<'a> {
    text: String,
    service: Service,
    action: &'a str,
}

/// What came of an operation.
pub(super) fn answer(service: Service, action: &str, value: &Value, id: &str) -> String {
    let namespace = namespace(service);
    let mut writer = Writer {
        text: format!("<?xml version=\"1.0\"?><{action}Response xmlns=\"{namespace}\">"),
        service,
        action,
    };
    if let Value::Object(object) = value {
        writer.text += &format!("<{action}Result>");
        writer.object(object);
        writer.text += &format!("</{action}Result>");
    }
    writer.text
        + &format!(
            "<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        )
}

pub(super) fn refusal(service: Service, fault: &Fault, id: &str) -> String {
    let whose = match fault.code.is_senders() {
        true => "Sender",
        false => "Receiver",
    };
    let (namespace, code) = (namespace(service), code(service, fault));
    let message = escape(&fault.message);
    format!(
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{namespace}\"><Error><Type>{whose}</Type><Code>{code}</Code>\
         <Message>{message}</Message><Detail/></Error><RequestId>{id}</RequestId></ErrorResponse>"
    )
}

/// SNS has other words for some of what SQS says.
fn code(service: Service, fault: &Fault) -> &'static str {
    let code = fault.code.query;
    match (service, code) {
        (Service::Sns, "InvalidParameterValue" | "MissingParameter" | "InvalidMessageContents") => {
            "InvalidParameter"
        }
        (Service::Sns, "OverLimit" | "RequestThrottled" | "ServiceUnavailable") => "Throttled",
        (Service::Sns, code) => code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code),
        _ => code,
    }
}

fn namespace(service: Service) -> &'static str {
    match service {
        Service::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
        _ => "http://queue.amazonaws.com/doc/2012-11-05/",
    }
}

/// What stands in XML for itself, and what cannot stand there at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#xD;"),
            c if is_xml(c) => escaped.push(c),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

/// Whether a character can be in an XML document, and so in a message of SQS's.
pub(crate) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

// === impl Writer ===

impl Writer<'_> {
    fn object(&mut self, object: &Map<String, Value>) {
        for (name, value) in object {
            match value {
                Value::Array(items) => self.items(name, items),
                Value::Object(entries) => match self.entry(name) {
                    Some(entry) => self.entries(name, entry, entries),
                    None => self.element(name, value),
                },
                value => self.element(name, value),
            }
        }
    }

    fn items(&mut self, name: &str, items: &[Value]) {
        if self.service != Service::Sqs {
            self.text += &format!("<{name}>");
            items.iter().for_each(|item| self.element("member", item));
            self.text += &format!("</{name}>");
            return;
        }
        let known = ITEMS.iter().find(|(list, _)| *list == name);
        let done = format!("{}ResultEntry", self.action);
        let item = known.map_or(done.as_str(), |(_, item)| item);
        items.iter().for_each(|value| self.element(item, value));
    }

    fn entry(&self, name: &str) -> Option<[&'static str; 3]> {
        let known = ENTRIES.iter().find(|(map, _)| *map == name);
        match self.service {
            Service::Sqs => known.map(|(_, entry)| *entry),
            _ => known.map(|_| ["entry", "key", "value"]),
        }
    }

    fn entries(&mut self, map: &str, [entry, name, of]: [&str; 3], entries: &Map<String, Value>) {
        let nested = self.service != Service::Sqs;
        if nested {
            self.text += &format!("<{map}>");
        }
        for (key, value) in entries {
            self.text += &format!("<{entry}><{name}>{}</{name}>", escape(key));
            self.element(of, value);
            self.text += &format!("</{entry}>");
        }
        if nested {
            self.text += &format!("</{map}>");
        }
    }

    fn element(&mut self, name: &str, value: &Value) {
        self.text += &format!("<{name}>");
        match value {
            Value::Object(object) => self.object(object),
            Value::String(text) => self.text += &escape(text),
            Value::Null => {}
            value => self.text += &value.to_string(),
        }
        self.text += &format!("</{name}>");
    }
}

//! Publishing as every interface sees it. The interfaces only translate.
//!
//! What a guest publishes is a message that becomes an event: it has a source and an id, and goes on with the trace of
//! the call that published it, unless the guest says otherwise. Everything that no event could carry is refused here,
//! where the guest can still hear of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gust_backend::{
    outlet::Outlet,
    queue::{Message, Published, check},
};
use gust_task::ids;
use gust_types::{Error, FunctionKey, Kind, event::Event};

use super::{View, open::Place};
use crate::guest::CallContext;

/// Sends of one running copy that may be under way at once: each holds its messages in the host's memory.
const MAX_SENDS: u32 = 64;

/// Before the name of an attribute, as headers have it.
const PREFIX: &str = "ce-";

/// What a guest wants to publish.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) data: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) key: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) priority: u8,
    pub(crate) delay: Option<Duration>,
}

/// Why nothing was published, in the words that the interfaces share.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    AccessDenied(String),
    Full(String),
    TooLarge(String),
    Invalid(String),
    Other(String),
}

/// Messages on their way. Borrows nothing of the store: other calls of the copy may go on.
pub(crate) struct Sending {
    outlet: Arc<dyn Outlet>,
    messages: Vec<Message>,
    _place: Place,
}

// === impl Sending ===

impl Sending {
    /// Messages for the outlet of this name, if the function has it and they are such that events can be made of them.
    pub(crate) fn new(view: &View<'_>, name: &str, drafts: Vec<Draft>) -> Result<Self, Refusal> {
        let outlet = outlet(view, name)?;
        let scope = &view.scope;
        let place = scope.host.sends.take(MAX_SENDS).ok_or_else(|| {
            Refusal::Full(format!(
                "the instance has more sends under way than it may: {MAX_SENDS}"
            ))
        })?;
        let limits = outlet.limits();
        let mut messages = Vec::with_capacity(drafts.len().min(limits.batch));
        for draft in drafts {
            messages.push(draft.message(&scope.revision.key, &scope.call)?);
        }
        let refused = |error: Error| match error.kind {
            Kind::Exhausted => Refusal::TooLarge(words(&error)),
            Kind::Invalid => Refusal::Invalid(words(&error)),
            _ => error.into(),
        };
        check::batch(&messages, &limits).map_err(refused)?;
        let messages = outlet.shape(messages, scope.call.cause.as_deref());
        let messages = messages.map_err(refused)?;
        Ok(Self {
            outlet,
            messages,
            _place: place,
        })
    }

    /// Answers when the messages are durable.
    pub(crate) async fn send(self) -> Result<Vec<Published>, Refusal> {
        if self.messages.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.outlet.publish(self.messages).await?)
    }

    /// The same for one message.
    pub(crate) async fn send_one(self) -> Result<Published, Refusal> {
        let published = self.send().await?;
        let none = || Refusal::Other("nothing was published".to_owned());
        published.into_iter().next().ok_or_else(none)
    }
}

fn outlet(view: &View<'_>, name: &str) -> Result<Arc<dyn Outlet>, Refusal> {
    let found = view.scope.bindings.outlets.get(name);
    found.cloned().ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        Refusal::AccessDenied(format!(
            "the function may not publish to: {shown:?} (name it among the function's `queues` or `topics`)"
        ))
    })
}

// === impl Draft ===

impl Draft {
    fn message(self, from: &FunctionKey, call: &CallContext) -> Result<Message, Refusal> {
        let mut attributes = BTreeMap::new();
        for (name, value) in self.attributes {
            let name = match name.strip_prefix(PREFIX).unwrap_or(&name) {
                "datacontenttype" => check::MEDIA_TYPE,
                name => name,
            };
            if attributes.insert(name.to_owned(), value).is_some() {
                let shown: String = name.chars().take(100).collect();
                let text = format!("an attribute is there twice: {shown:?}");
                return Err(Refusal::Invalid(text));
            }
        }
        if let Some(media) = self.content_type {
            attributes.insert(check::MEDIA_TYPE.to_owned(), media);
        }
        let source = || format!("/apps/{}/functions/{}", from.app, from.function);
        attributes.entry("source".to_owned()).or_insert_with(source);
        let id = || ids::call_id().to_string();
        attributes.entry("id".to_owned()).or_insert_with(id);
        if call.trace.trace_id != 0 {
            let parent = || match call.trace.parent {
                0 => call.trace.header(ids::random_u64()),
                span => call.trace.header(span),
            };
            let name = Event::TRACE_PARENT.to_owned();
            attributes.entry(name).or_insert_with(parent);
        }
        let partition = attributes.get(Event::PARTITION_KEY).cloned();
        let message = Message {
            attributes,
            body: self.data.into(),
            group: self.group.or(partition),
            key: self.key,
            priority: self.priority,
            delay: self.delay,
        };
        check::attributes(&message).map_err(|error| Refusal::Invalid(words(&error)))?;
        Ok(message)
    }
}

/// The guest gets the message and the hint, never the causes: they speak of the platform's insides.
pub(super) fn words(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let words = words(&error);
        match error.kind {
            Kind::Denied => Self::AccessDenied(words),
            Kind::Exhausted => Self::Full(words),
            Kind::Invalid => Self::Invalid(words),
            _ => Self::Other(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use gust_types::{AppName, FunctionName, ProjectName, call::Trace};

    use super::*;

    fn message(draft: Draft, trace: &str) -> Result<Message, Refusal> {
        let key = FunctionKey {
            project: ProjectName::default_project(),
            app: AppName::new("shop").unwrap(),
            function: FunctionName::new("till").unwrap(),
        };
        let call = CallContext {
            id: Default::default(),
            deadline: gust_task::clock::now(),
            hops: 0,
            trace: Trace::parse(trace).unwrap_or_default(),
            cause: None,
        };
        draft.message(&key, &call)
    }

    fn draft(attributes: &[(&str, &str)]) -> Draft {
        Draft {
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Draft::default()
        }
    }

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_published_says_where_it_comes_from() {
        let made = message(draft(&[]), TRACE).unwrap();
        assert_eq!(made.attributes["source"], "/apps/shop/functions/till");
        assert_eq!(made.attributes["traceparent"], TRACE);
        assert_eq!(made.attributes["id"].len(), 32);
        let other = message(draft(&[]), "").unwrap();
        assert_ne!(made.attributes["id"], other.attributes["id"]);
        assert!(!other.attributes.contains_key("traceparent"));
    }

    #[test]
    fn a_guest_may_say_otherwise() {
        let own = "00-00000000000000000000000000000001-0000000000000002-00";
        let given = [
            ("ce-source", "/elsewhere"),
            ("ce-id", "7"),
            ("type", "order.placed"),
            ("traceparent", own),
            ("partitionkey", "k"),
            ("datacontenttype", "text/plain"),
        ];
        let made = message(draft(&given), TRACE).unwrap();
        assert_eq!(made.attributes["source"], "/elsewhere");
        assert_eq!(made.attributes["id"], "7");
        assert_eq!(made.attributes["traceparent"], own);
        assert_eq!(made.attributes["content-type"], "text/plain");
        assert_eq!(made.group.as_deref(), Some("k"));
    }

    #[test]
    fn what_no_event_could_carry_is_refused() {
        for bad in [
            &[("X-Header", "1")][..],
            &[("time", "yesterday")],
            &[("colour", "a\u{0}b")],
            &[("type", "")],
            &[("type", "a"), ("ce-type", "b")],
        ] {
            let refusal = message(draft(bad), "").unwrap_err();
            assert!(matches!(refusal, Refusal::Invalid(_)), "{bad:?}");
        }
    }
}

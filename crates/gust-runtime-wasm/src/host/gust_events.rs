//! `gust:events/publish@0.1.0` and its async twin: all that a queue can be told of a message.

use std::time::Duration;

use wasmtime::component::Accessor;

use super::{
    Ours, View,
    outlets::{Draft, Refusal, Sending},
    wit::{
        messaging::gust::events::publish::{Error, Host, Message, Published},
        messaging_async::gust::events::publish_async,
    },
};
use crate::guest::Guest;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for View<'_> {
    async fn send(&mut self, queue: String, message: Message) -> Answer<Published> {
        let sending = Sending::new(self, &queue, vec![message.into()]);
        Ok(one(sending).await)
    }

    async fn send_many(&mut self, queue: String, messages: Vec<Message>) -> Answer<Vec<Published>> {
        let sending = Sending::new(self, &queue, drafts(messages));
        Ok(all(sending).await)
    }
}

impl publish_async::Host for View<'_> {}

impl publish_async::HostWithStore<Guest> for Ours {
    async fn send(
        guest: &Accessor<Guest, Self>,
        queue: String,
        message: Message,
    ) -> Answer<Published> {
        let drafts = vec![message.into()];
        let sending = guest.with(|mut guest| Sending::new(&guest.get(), &queue, drafts));
        Ok(one(sending).await)
    }

    async fn send_many(
        guest: &Accessor<Guest, Self>,
        queue: String,
        messages: Vec<Message>,
    ) -> Answer<Vec<Published>> {
        let drafts = drafts(messages);
        let sending = guest.with(|mut guest| Sending::new(&guest.get(), &queue, drafts));
        Ok(all(sending).await)
    }
}

fn drafts(messages: Vec<Message>) -> Vec<Draft> {
    messages.into_iter().map(Draft::from).collect()
}

async fn one(sending: Result<Sending, Refusal>) -> Result<Published, Error> {
    Ok(sending?.send_one().await?.into())
}

async fn all(sending: Result<Sending, Refusal>) -> Result<Vec<Published>, Error> {
    let published = sending?.send().await?;
    Ok(published.into_iter().map(Published::from).collect())
}

impl From<Message> for Draft {
    fn from(message: Message) -> Self {
        Self {
            data: message.data,
            content_type: message.content_type,
            attributes: message.attributes,
            key: message.key,
            group: message.group,
            priority: message.priority,
            delay: (message.delay_ms > 0).then(|| Duration::from_millis(message.delay_ms)),
        }
    }
}

impl From<gust_backend::queue::Published> for Published {
    fn from(published: gust_backend::queue::Published) -> Self {
        Self {
            number: published.id.0,
            duplicate: published.duplicate,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AccessDenied(why) => Self::AccessDenied(why),
            Refusal::Full(why) => Self::Full(why),
            Refusal::TooLarge(why) => Self::TooLarge(why),
            Refusal::Invalid(why) => Self::Invalid(why),
            Refusal::Other(why) => Self::Other(why),
        }
    }
}

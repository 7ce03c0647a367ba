//! `wasi:messaging/types` and `producer`, `@0.2.0-draft`: a topic is the name of something that the function may publish to.

use wasmtime::component::Resource;

use super::{
    View,
    outlets::{Draft, Refusal, Sending},
    wit::messaging::wasi::messaging::{
        producer,
        types::{self, Error, HostClient, HostMessage},
    },
};

/// The connection that there is: to everything that the manifest gives the function.
const DEFAULT: &str = "default";
/// Bytes of all messages that a copy may hold: they lie in the host's memory, which no limit of the guest's counts.
const MAX_HELD: usize = 16 << 20;
/// What a pair of metadata counts beside its letters.
const PAIR: usize = 64;

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Metadata = Vec<(String, String)>;

/// A connection.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Client;

/// A message that a guest has in hand.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Held {
    data: Vec<u8>,
    content_type: Option<String>,
    metadata: Metadata,
}

// === impl Held ===

impl Held {
    fn size(&self) -> usize {
        let pairs = self.metadata.iter().map(|(k, v)| k.len() + v.len() + PAIR);
        let media = self.content_type.as_ref().map_or(0, String::len);
        self.data.len() + media + pairs.sum::<usize>()
    }
}

impl View<'_> {
    /// Counts what messages a guest holds. There is no other answer to too many than to end it: making one cannot fail.
    fn hold(&mut self, before: usize, after: usize) -> wasmtime::Result<()> {
        let held = &mut self.scope.host.messages;
        let now = held.saturating_sub(before).saturating_add(after);
        if now > MAX_HELD && after > before {
            wasmtime::bail!("the function holds more than {MAX_HELD} bytes of messages: {now}");
        }
        *held = now;
        Ok(())
    }

    fn change(
        &mut self,
        message: &Resource<Held>,
        change: impl FnOnce(&mut Held),
    ) -> wasmtime::Result<()> {
        let message = self.table.get_mut(message)?;
        let before = message.size();
        change(message);
        let after = message.size();
        self.hold(before, after)
    }
}

impl types::Host for View<'_> {}

impl HostClient for View<'_> {
    async fn connect(&mut self, name: String) -> Answer<Resource<Client>> {
        if name.is_empty() || name == DEFAULT {
            return Ok(Ok(self.table.push(Client)?));
        }
        let shown: String = name.chars().take(100).collect();
        let why = format!("there is no such connection: {shown:?} (connect to {DEFAULT:?})");
        Ok(Err(Error::Connection(why)))
    }

    async fn disconnect(&mut self, client: Resource<Client>) -> Answer<()> {
        self.table.get(&client)?;
        Ok(Ok(()))
    }

    async fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl HostMessage for View<'_> {
    async fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<Held>> {
        self.hold(0, data.len())?;
        Ok(self.table.push(Held {
            data,
            content_type: None,
            metadata: Metadata::new(),
        })?)
    }

    /// Nobody has received it.
    async fn topic(&mut self, message: Resource<Held>) -> wasmtime::Result<Option<String>> {
        self.table.get(&message)?;
        Ok(None)
    }

    async fn content_type(&mut self, message: Resource<Held>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&message)?.content_type.clone())
    }

    async fn set_content_type(
        &mut self,
        message: Resource<Held>,
        media: String,
    ) -> wasmtime::Result<()> {
        self.change(&message, |message| message.content_type = Some(media))
    }

    async fn data(&mut self, message: Resource<Held>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&message)?.data.clone())
    }

    async fn set_data(&mut self, message: Resource<Held>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.change(&message, |message| message.data = data)
    }

    async fn metadata(&mut self, message: Resource<Held>) -> wasmtime::Result<Option<Metadata>> {
        let metadata = &self.table.get(&message)?.metadata;
        Ok((!metadata.is_empty()).then(|| metadata.clone()))
    }

    async fn add_metadata(
        &mut self,
        message: Resource<Held>,
        key: String,
        value: String,
    ) -> wasmtime::Result<()> {
        self.change(&message, |message| {
            let known = message.metadata.iter_mut().find(|(name, _)| *name == key);
            match known {
                Some((_, old)) => *old = value,
                None => message.metadata.push((key, value)),
            }
        })
    }

    async fn set_metadata(
        &mut self,
        message: Resource<Held>,
        metadata: Metadata,
    ) -> wasmtime::Result<()> {
        self.change(&message, |message| message.metadata = metadata)
    }

    async fn remove_metadata(
        &mut self,
        message: Resource<Held>,
        key: String,
    ) -> wasmtime::Result<()> {
        self.change(&message, |message| {
            message.metadata.retain(|(name, _)| *name != key);
        })
    }

    async fn drop(&mut self, message: Resource<Held>) -> wasmtime::Result<()> {
        let message = self.table.delete(message)?;
        self.hold(message.size(), 0)
    }
}

impl producer::Host for View<'_> {
    async fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Held>,
    ) -> Answer<()> {
        self.table.get(&client)?;
        let message = self.table.delete(message)?;
        self.hold(message.size(), 0)?;
        let draft = Draft {
            data: message.data,
            content_type: message.content_type,
            attributes: message.metadata,
            ..Draft::default()
        };
        let sent = match Sending::new(self, &topic, vec![draft]) {
            Ok(sending) => sending.send_one().await,
            Err(refusal) => Err(refusal),
        };
        Ok(sent.map(drop).map_err(Error::from))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AccessDenied(why) => Self::PermissionDenied(why),
            Refusal::Full(why)
            | Refusal::TooLarge(why)
            | Refusal::Invalid(why)
            | Refusal::Other(why) => Self::Other(why),
        }
    }
}

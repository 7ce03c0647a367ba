//! From the first byte to the first statement: TLS is refused, a cancel request is heard, everybody else logs in.

use std::sync::Arc;

use bytes::Buf as _;
use gust_backend::{keys::AccessKey, sql::Sql};
use gust_types::{Label, ProjectName};

use crate::{
    Inner,
    cancel::Ticket,
    error::{Fault, Trouble},
    scram::MECHANISM,
    sql::{rewrite::VERSION, settings::Settings},
    wire::{Wire, read::Body},
};

const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;
/// Bytes of a message of a login.
const MESSAGE: usize = 4096;
/// The database of those who name none. Clients say their own name then.
const DEFAULT: &str = "default";

/// Who logged in, and to what.
pub(crate) struct Login {
    /// The id of the key.
    pub(crate) user: String,
    pub(crate) key: AccessKey,
    pub(crate) label: Label,
    pub(crate) database: Arc<dyn Sql>,
    pub(crate) settings: Settings,
}

/// What a client begins with.
#[derive(Default)]
struct Startup {
    user: String,
    database: String,
    settings: Settings,
    /// Parts of the protocol that it would like.
    options: Vec<String>,
}

// === impl Login ===

impl Login {
    /// Whether the key is still good.
    pub(crate) fn is_good(&self, door: &Inner) -> bool {
        let found = door.parts.keys.find(&self.user);
        found.is_some_and(|key| key.project == self.key.project && key.secret == self.key.secret)
    }

    pub(crate) fn project(&self) -> &ProjectName {
        &self.key.project
    }
}

/// Lets a client in; nothing for one that only came to cancel.
pub(crate) async fn login(door: &Inner, wire: &mut Wire) -> Result<Option<Login>, Trouble> {
    let begun = tokio::time::timeout(door.patience.startup, startup(door, wire)).await;
    let Some(startup) = begun.unwrap_or_else(|_| Err(late().into()))? else {
        return Ok(None);
    };
    let key = authenticate(door, wire, &startup.user).await?;
    let unknown = |why: &str| {
        Fault::fatal(
            "3D000",
            format!("database \"{}\" does not exist", startup.database),
        )
        .hint(why)
    };
    let label = Label::new(&startup.database)
        .map_err(|error| unknown(error.hint.as_deref().unwrap_or(&error.message)))?;
    let database = door.parts.backends.sql(&key.project, &label);
    let database = database.map_err(|error| Fault {
        fatal: true,
        ..error.into()
    })?;
    Ok(Some(Login {
        user: startup.user,
        key,
        label,
        database,
        settings: startup.settings,
    }))
}

/// Who takes too long.
pub(crate) fn late() -> Fault {
    Fault::fatal("08006", "the login took too long")
}

async fn startup(door: &Inner, wire: &mut Wire) -> Result<Option<Startup>, Trouble> {
    for _ in 0..3 {
        let mut message = Body(wire.startup().await?);
        match message.u32()? {
            TLS | GSS => {
                // What came along was not meant to be read in the clear.
                if wire.has_more() {
                    return Err(Fault::protocol(
                        "received unencrypted data after a request for encryption",
                    )
                    .into());
                }
                wire.put_no();
                wire.flush().await?;
            }
            CANCEL => {
                let (session, secret) = (message.u32()?, message.u32()?);
                door.sessions.cancel(Ticket { session, secret });
                return Ok(None);
            }
            version if version >> 16 == 3 => return begin(wire, version, message).map(Some),
            version => {
                let text = format!(
                    "unsupported frontend protocol {}.{}",
                    version >> 16,
                    version & 0xffff
                );
                return Err(Fault::fatal("0A000", text).into());
            }
        }
    }
    Err(Fault::protocol("too many requests for encryption").into())
}

fn begin(wire: &mut Wire, version: u32, mut message: Body) -> Result<Startup, Trouble> {
    let mut startup = Startup::default();
    loop {
        let name = message.text()?;
        if name.is_empty() {
            break;
        }
        let taken = startup.take(name, message.text()?);
        taken.map_err(|fault| Fault {
            fatal: true,
            ..fault
        })?;
    }
    if message.0.has_remaining() {
        return Err(Fault::protocol("invalid startup packet layout").into());
    }
    if startup.user.is_empty() {
        return Err(Fault::fatal("28000", "no user name was given")
            .hint("the user is the id of an access key")
            .into());
    }
    if version & 0xffff > 0 || !startup.options.is_empty() {
        wire.put_version(&startup.options);
    }
    if startup.database.is_empty() || startup.database == startup.user {
        DEFAULT.clone_into(&mut startup.database);
    }
    startup.settings.is(&startup.user);
    Ok(startup)
}

// === impl Startup ===

impl Startup {
    fn take(&mut self, name: String, value: String) -> Result<(), Fault> {
        match &*name {
            "user" => self.user = value,
            "database" => self.database = value,
            "options" => command_line(&mut self.settings, &value)?,
            "replication" if matches!(&*value, "false" | "off" | "0" | "no") => {}
            "replication" => return Err(Fault::unserved("replication")),
            known if known.starts_with("_pq_.") => self.options.push(name),
            known => self.settings.begin(known, &value)?,
        }
        Ok(())
    }
}

/// Options such as `-c name=value`.
fn command_line(settings: &mut Settings, options: &str) -> Result<(), Fault> {
    let mut words = options.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().unwrap_or(""),
            Some(pair) => pair,
            None => word,
        };
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Fault::new("42601", format!("not understood in options: {word}")))?;
        settings.begin(&name.replace('-', "_"), value)?;
    }
    Ok(())
}

async fn authenticate(door: &Inner, wire: &mut Wire, user: &str) -> Result<AccessKey, Trouble> {
    let wrong = || {
        let text = format!("password authentication failed for user \"{user}\"");
        Fault::fatal("28P01", text)
            .hint("the user is the id of an access key, the password its secret")
    };
    wire.put_authentication(10, format!("{MECHANISM}\0\0").as_bytes());
    let mut first = Body(password(wire).await?);
    if first.text()? != MECHANISM {
        return Err(Fault::protocol("the mechanism of authentication was not offered").into());
    }
    let length = first.u32()? as usize;
    let first = first.take(length)?;
    let (exchange, answer) = door.verifiers.begin(user, &first).ok_or_else(malformed)?;
    wire.put_authentication(11, answer.as_bytes());
    let last = password(wire).await?;
    let key = door.parts.keys.find(user);
    let proof = door
        .verifiers
        .end(exchange, &last, key.clone())
        .await
        .ok_or_else(wrong)?;
    let key = key.ok_or_else(wrong)?;
    wire.put_authentication(12, proof.as_bytes());
    wire.put_authentication(0, &[]);
    Ok(key)
}

fn malformed() -> Fault {
    Fault::protocol("malformed SCRAM message").hint("channel binding is not served: it needs TLS")
}

/// The next message, which has to be one of a login.
async fn password(wire: &mut Wire) -> Result<bytes::Bytes, Trouble> {
    wire.flush().await?;
    let frame = wire.frame(|kind| (kind == b'p').then_some(MESSAGE)).await?;
    Ok(frame.body)
}

/// What clients are told of the server.
pub(crate) fn greet(wire: &mut Wire, settings: &Settings, ticket: Ticket) {
    debug_assert!(
        settings
            .get("server_version")
            .is_ok_and(|version| version == VERSION)
    );
    for (name, shown) in crate::sql::settings::REPORTED {
        wire.put_parameter(shown, settings.get(name).unwrap_or(""));
    }
    wire.put_key(ticket.session, ticket.secret);
}

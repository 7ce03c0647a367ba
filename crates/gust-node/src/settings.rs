//! `node.toml`: what the operator decides.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use gust_types::{ByteSize, Span, outbound::Blocked};
use serde::{Deserialize, Serialize};

/// The settings of one node. Order of precedence: defaults, `node.toml`, environment, flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The one folder everything is kept in; a second node on it is refused. Default `gust-data` in the working folder.
    pub data: PathBuf,
    /// Where functions are served. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control API is served; `"off"` means nowhere (`gust up`). Default `127.0.0.1:8081`.
    #[serde(deserialize_with = "address_or_off", serialize_with = "or_off")]
    pub control: Option<SocketAddr>,
    /// Where buckets are served to S3 clients that sign with an access key (`gust key new`), over plain HTTP: on another
    /// address than loopback put a proxy with TLS in front. `"off"` means nowhere. Default `"off"`.
    #[serde(deserialize_with = "address_or_off", serialize_with = "or_off")]
    pub s3: Option<SocketAddr>,
    /// Where key-value stores are served to Redis clients that log in with an access key, without TLS. `"off"` means nowhere.
    /// Default `"off"`.
    #[serde(deserialize_with = "address_or_off", serialize_with = "or_off")]
    pub redis: Option<SocketAddr>,
    /// Where SQL databases are served to PostgreSQL clients that log in with an access key, without TLS. `"off"` means
    /// nowhere. Default `"off"`.
    #[serde(deserialize_with = "address_or_off", serialize_with = "or_off")]
    pub postgres: Option<SocketAddr>,
    /// Where queues and topics are served to clients of AWS (SQS, SNS, EventBridge) that sign with an access key, over plain
    /// HTTP. `"off"` means nowhere. Default `"off"`.
    #[serde(deserialize_with = "address_or_off", serialize_with = "or_off")]
    pub aws: Option<SocketAddr>,
    /// Apps answer on `<app>.<domain>`. Default `gust.localhost`.
    pub domain: String,
    /// Answer on any host with the one app that is deployed (`gust up`). Default false.
    pub any_host: bool,
    /// Certificate and key; with them functions are served over TLS.
    pub tls: Option<Tls>,
    /// The most instances alive at once, over all functions. Default 1,000.
    pub max_instances: u32,
    /// The most memory one instance may be given, whatever its function asks for. Default 1 GiB.
    pub max_instance_memory: ByteSize,
    /// The most functions whose code stays mapped while they sleep. Default 1,000.
    pub max_resident: u32,
    /// How long the code of a function that nobody calls stays mapped. Default 10 min.
    pub resident_idle: Span,
    /// Bytes of one uploaded artifact; components are 128 MiB at most in any case. Default 256 MiB.
    pub max_artifact: ByteSize,
    /// How long calls in flight may go on after a stop. Default 30 s.
    pub grace: Span,
    /// Prices of the bill; absent means the documented defaults.
    pub prices: Option<PathBuf>,
    /// Networks that functions never reach, whatever their lists say: CIDR blocks or single addresses, compared with the
    /// address a name resolves to. Default none.
    pub block_networks: Vec<String>,
    /// What callbacks of calls made later may reach beside public addresses by https, written as a function's `outbound`:
    /// `http://127.0.0.1:9000`, `https://*.internal`. Default none.
    pub callback_hosts: Vec<String>,
    /// Log level of the node's own words: error, warn, info, debug or trace. Default `info`.
    pub log: String,
    /// Where traces go; comes from the `OTEL_…` variables, never from the file.
    #[serde(skip)]
    pub otlp: Option<gust_telemetry::init::Otlp>,
}

/// A certificate chain and its key, in PEM files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

fn address_or_off<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!("not an address with a port, nor \"off\": {text:?}"))
    })
}

fn or_off<S: serde::Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => to.collect_str(address),
        None => to.serialize_str("off"),
    }
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: "gust-data".into(),
            listen: loopback(8080),
            control: Some(loopback(8081)),
            s3: None,
            redis: None,
            postgres: None,
            aws: None,
            domain: "gust.localhost".to_owned(),
            any_host: false,
            tls: None,
            max_instances: 1000,
            max_instance_memory: ByteSize::mib(1024),
            max_resident: 1000,
            resident_idle: Span::secs(600),
            max_artifact: ByteSize::mib(256),
            grace: Span::secs(30),
            prices: None,
            block_networks: Vec::new(),
            callback_hosts: Vec::new(),
            log: "info".to_owned(),
            otlp: None,
        }
    }
}

impl Settings {
    /// Reads a whole table of settings; unknown keys are refused.
    pub(crate) fn from_table(table: toml::Table) -> gust_types::Result<Self> {
        table
            .try_into()
            .map_err(|e| gust_types::Error::invalid("bad settings").because(e))
    }

    // What each room is told. A setting that is not here keeps the room's own default.

    pub(crate) fn wasm(&self) -> gust_types::Result<gust_runtime_wasm::Settings> {
        let block_networks = self.blocked()?;
        let defaults = gust_runtime_wasm::Settings::default();
        Ok(gust_runtime_wasm::Settings {
            max_instances: self.max_instances,
            max_memory: self.max_instance_memory,
            max_component: ByteSize(self.max_artifact.0.min(defaults.max_component.0)),
            block_networks,
            ..defaults
        })
    }

    /// The networks that nobody reaches: neither functions nor the sources of triggers.
    pub(crate) fn blocked(&self) -> gust_types::Result<Blocked> {
        Blocked::parse(&self.block_networks).map_err(|mut error| {
            error.message = format!("bad setting block_networks: {}", error.message);
            error
        })
    }

    /// How callbacks reach their addresses.
    pub(crate) fn callbacks(&self) -> gust_types::Result<gust_events::Callbacks> {
        let hosts = &self.callback_hosts;
        gust_events::Callbacks::check_hosts(hosts).map_err(|mut error| {
            error.message = format!("bad setting callback_hosts: {}", error.message);
            error
        })?;
        Ok(gust_events::Callbacks {
            dial: gust_trigger::Dial::new(self.blocked()?),
            hosts: hosts.clone(),
        })
    }

    pub(crate) fn dispatch(&self, files: PathBuf) -> gust_dispatch::Settings {
        gust_dispatch::Settings {
            domain: self.domain.clone(),
            max_instances: self.max_instances as usize,
            max_resident: self.max_resident as usize,
            resident_idle: self.resident_idle.0,
            files,
            ..Default::default()
        }
    }

    pub(crate) fn gateway(&self) -> gust_gateway::Settings {
        gust_gateway::Settings {
            listen: self.listen,
            tls: self.tls.as_ref().map(|t| gust_gateway::Tls {
                cert: t.cert.clone(),
                key: t.key.clone(),
            }),
            grace: self.grace,
            ..Default::default()
        }
    }

    pub(crate) fn control_plane(
        &self,
        data: PathBuf,
        public: gust_control::Public,
    ) -> gust_control::Settings {
        let mut ceilings = gust_control::settings::ceilings();
        ceilings.memory = self.max_instance_memory;
        gust_control::Settings {
            data: Some(data),
            public,
            any_host: self.any_host,
            max_artifact: self.max_artifact,
            ceilings,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_to_block_are_read_at_the_start() {
        let with = |network: &str| Settings {
            block_networks: vec![network.to_owned()],
            ..Settings::default()
        };
        let wasm = with("10.0.0.0/8").wasm().unwrap();
        assert!(wasm.block_networks.contains([10, 1, 2, 3].into()));
        let error = with("10.0.0/8").wasm().unwrap_err();
        assert!(
            error.message.contains("block_networks"),
            "{}",
            error.message
        );
        assert!(error.message.contains("10.0.0/8"), "{}", error.message);
    }

    #[test]
    fn what_cannot_be_uploaded_is_not_compiled() {
        let settings = Settings {
            max_artifact: ByteSize::mib(1),
            ..Settings::default()
        };
        assert_eq!(settings.wasm().unwrap().max_component, ByteSize::mib(1));
        let component = Settings::default().wasm().unwrap().max_component;
        assert_eq!(component, ByteSize::mib(128));
    }
}

//! The kinds of sources outside that a node has: one line each.

use gust_events::Sources;
use gust_trigger::{Dial, Provider};
use gust_trigger_amqp::Amqp;
use gust_trigger_http::Http;
use gust_trigger_mqtt::Mqtt;
use gust_trigger_nats::Nats;
use gust_trigger_postgres::Postgres;
use gust_trigger_redis::Redis;
use gust_types::outbound::Blocked;

const PROVIDERS: &[Provider] = &[
    Provider::of::<Redis>(),
    Provider::of::<Nats>(),
    Provider::of::<Mqtt>(),
    Provider::of::<Amqp>(),
    Provider::of::<Postgres>(),
    Provider::of::<Http>(),
];

/// All of them, which reach everything but these networks.
pub(crate) fn sources(blocked: Blocked) -> Sources {
    Sources {
        providers: PROVIDERS.to_vec(),
        dial: Dial::new(blocked),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a manifest takes, the plug-in takes, and the other way round.
    #[test]
    fn manifests_know_the_keys_of_every_kind() {
        let known: Vec<_> = gust_manifest::outside().collect();
        assert_eq!(known.len(), PROVIDERS.len());
        for (kind, keys) in known {
            let provider = PROVIDERS.iter().find(|p| p.kind() == kind);
            let context = gust_trigger::Context {
                identity: "test".to_owned(),
                dial: Dial::default(),
            };
            let settings = [("no such key".to_owned(), true.into())]
                .into_iter()
                .collect();
            let error = provider.unwrap().open(&settings, context).err().unwrap();
            let (_, listed) = error.message.split_once("expected").unwrap();
            let taken: BTreeSet<_> = listed.split('`').skip(1).step_by(2).collect();
            assert_eq!(taken, keys.into_iter().collect(), "{kind}");
        }
    }
}

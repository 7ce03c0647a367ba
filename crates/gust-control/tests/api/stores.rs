//! Key-value stores over HTTP. There are no databases in memory: those are in the scenarios.

use bytes::Bytes;
use gust_api::kv::{Increment, KeysQuery, SetQuery};
use gust_types::{Blame, Error, Kind, Label, Result};

use super::harness::*;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn failed<T>(result: Result<T>, kind: Kind) -> Error {
    let error = result.err().unwrap();
    assert_eq!(
        (error.kind, error.blame),
        (kind, Blame::Caller),
        "{error:?}"
    );
    error
}

async fn set(node: &Node, key: &str, value: &str, how: SetQuery) -> Result<u64> {
    let place = (&project(), &label("cache"), key);
    let set = node
        .client
        .set_value(place, Bytes::from(value.to_owned()), &how);
    Ok(set.await?.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_set_listed_and_removed() {
    let node = node().await;
    let (client, project, cache) = (&node.client, &project(), &label("cache"));
    assert!(client.stores(project).await.unwrap().stores.is_empty());
    let keys = ["a", "a/b%20c", "城市", "z"];
    for key in keys {
        set(&node, key, key, SetQuery::default()).await.unwrap();
        let found = client.value(project, cache, key).await.unwrap().unwrap();
        assert_eq!((&found.bytes[..], found.expires_us), (key.as_bytes(), None));
    }
    assert_eq!(
        client.stores(project).await.unwrap().stores,
        std::slice::from_ref(cache)
    );
    let all = client
        .keys(project, cache, &KeysQuery::default())
        .await
        .unwrap();
    assert_eq!(all.keys, ["a", "a/b%20c", "z", "城市"]);
    let query = KeysQuery {
        prefix: Some("a".to_owned()),
        limit: Some(1),
        after: None,
    };
    let page = client.keys(project, cache, &query).await.unwrap();
    assert_eq!(
        (page.keys, page.next.as_deref()),
        (vec!["a".to_owned()], Some("a"))
    );
    let query = KeysQuery {
        limit: Some(0),
        ..query
    };
    failed(client.keys(project, cache, &query).await, Kind::Invalid);

    let absent = SetQuery {
        if_absent: true,
        ..SetQuery::default()
    };
    failed(set(&node, "a", "x", absent).await, Kind::Conflict);
    let found = client.value(project, cache, "a").await.unwrap().unwrap();
    let swap = SetQuery {
        if_version: Some(found.version),
        ttl: Some(60),
        ..SetQuery::default()
    };
    set(&node, "a", "new", swap.clone()).await.unwrap();
    failed(set(&node, "a", "newer", swap).await, Kind::Conflict);
    let found = client.value(project, cache, "a").await.unwrap().unwrap();
    assert!(found.expires_us.is_some());
    for _ in 0..2 {
        client.delete_value(project, cache, "a").await.unwrap();
    }
    assert_eq!(client.value(project, cache, "a").await.unwrap(), None);

    let increment = |key: &str, by| Increment {
        key: key.to_owned(),
        by,
    };
    let sum = client.increment(project, cache, &increment("n", 5)).await;
    assert_eq!(sum.unwrap().value, 5);
    let sum = client.increment(project, cache, &increment("n", -7)).await;
    assert_eq!(sum.unwrap().value, -2);
    failed(
        client.increment(project, cache, &increment("z", 1)).await,
        Kind::Invalid,
    );
    let large = "x".repeat((1 << 20) + 1);
    let error = set(&node, "large", &large, SetQuery::default()).await;
    let message = error.unwrap_err().message;
    assert!(
        message.contains("may have this many bytes: 1048576"),
        "{message}"
    );
}

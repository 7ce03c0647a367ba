//! Records against a store in memory.

use gust_backend::kv::memory::MemoryKv;

use super::*;

fn records() -> Records {
    Records {
        project: ProjectName::default_project(),
        kv: Arc::new(MemoryKv::default()),
    }
}

fn record(id: u128) -> Record {
    let function = FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new("shop").unwrap(),
        function: FunctionName::new("cart").unwrap(),
    };
    Record::new(CallId(id), &function, "POST".into(), "/".into())
}

fn repeat(key: &str, request: &str) -> Repeat {
    Repeat {
        key: key.to_owned(),
        digest: Digest::of(request.as_bytes()),
    }
}

#[tokio::test]
async fn one_key_is_one_record() {
    let records = records();
    let first = repeat("k", "a");
    let entered = records.enter(&record(1), Some(&first), true).await;
    assert_eq!(entered.unwrap(), None);
    let entered = records.enter(&record(2), Some(&first), true).await;
    assert_eq!(entered.unwrap(), Some(CallId(1)));
    assert!(
        records.get(CallId(2)).await.unwrap().is_none(),
        "all or none"
    );
    let other = repeat("k", "b");
    let other = records.enter(&record(3), Some(&other), true).await;
    assert_eq!(other.unwrap_err().kind, Kind::Conflict);
    let entered = records.enter(&record(4), None, false).await;
    assert_eq!(entered.unwrap(), None);
    let marked = records.marked().await.unwrap();
    assert_eq!(marked.len(), 1);
    records.unmark(&marked[0]).await.unwrap();
    assert!(records.marked().await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_who_change_a_record_one_does() {
    let records = records();
    records.enter(&record(1), None, false).await.unwrap();
    let (mut found, version) = records.must(CallId(1)).await.unwrap();
    found.end(LaterState::Cancelled, Span::secs(60));
    let changed = records.change(&found, version, None).await.unwrap();
    assert!(changed.is_some());
    found.end(LaterState::Done, Span::secs(60));
    let body = Some(Bytes::from_static(b"late"));
    assert_eq!(records.change(&found, version, body).await.unwrap(), None);
    let (kept, _) = records.must(CallId(1)).await.unwrap();
    assert_eq!(kept.state, LaterState::Cancelled);
    assert!(records.body(CallId(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_come_first() {
    let records = records();
    for id in [5, 1, u128::MAX, 3] {
        records.enter(&record(id), None, false).await.unwrap();
    }
    let ids = async |after: Option<u128>, most| {
        let list = records.list(after.map(CallId), most).await.unwrap();
        list.iter().map(|record| record.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 3).await, [u128::MAX, 5, 3]);
    assert_eq!(ids(Some(3), 3).await, [1]);
    records.forget(CallId(1)).await.unwrap();
    assert!(ids(Some(3), 3).await.is_empty());
    for id in 10..(10 + CLEARED as u128) {
        records.enter(&record(id), None, true).await.unwrap();
    }
    records.clear().await.unwrap();
    assert!(ids(None, 3).await.is_empty());
    assert!(records.marked().await.unwrap().is_empty());
}

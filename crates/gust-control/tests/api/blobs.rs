//! Buckets and their objects over HTTP.

use std::{collections::BTreeMap, sync::Arc};

use gust_api::{blob::ObjectsQuery, client::blobs::Put};
use gust_types::{Error, Kind, Label, Result};

use super::harness::*;

fn photos() -> Label {
    Label::new("photos").unwrap()
}

async fn put(node: &Node, key: &str, bytes: &[u8], put: &Put) -> Result<gust_api::blob::Object> {
    let (from, size) = (std::io::Cursor::new(bytes.to_vec()), bytes.len() as u64);
    let heard = Arc::new(|_| {});
    let place = (&project(), &photos(), key);
    node.client
        .put_object(place, from, Some(size), put, heard)
        .await
}

async fn got(node: &Node, key: &str) -> Result<(gust_api::blob::Object, Vec<u8>)> {
    let mut download = node.client.get_object(&project(), &photos(), key).await?;
    let mut all = Vec::new();
    while let Some(bytes) = download.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok((download.object, all))
}

fn failed<T>(result: Result<T>, kind: Kind) -> Error {
    let error = result.err().unwrap();
    assert_eq!(error.kind, kind, "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_any_key_go_in_and_come_out() {
    let node = node().await;
    assert!(
        node.client
            .buckets(&project())
            .await
            .unwrap()
            .buckets
            .is_empty()
    );
    let said = Put {
        content_type: Some("image/jpeg".to_owned()),
        metadata: BTreeMap::from([("作者".to_owned(), "x".to_owned())]),
        ..Put::default()
    };
    failed(put(&node, "k", b"x", &said).await, Kind::Invalid);
    let said = Put {
        metadata: BTreeMap::from([("author".to_owned(), "王小明 100%".to_owned())]),
        ..said
    };
    let large = vec![7; 700_000];
    let keys = [
        "照片/二〇二六/猫.jpg",
        "a b+c%2Fd?e=f&g#h",
        "../../../etc/passwd",
        "/",
        "a//b",
        "空",
    ];
    for key in keys {
        let object = put(&node, key, &large, &said).await.unwrap();
        assert_eq!((&*object.key, object.size), (key, 700_000));
        let (same, bytes) = got(&node, key).await.unwrap();
        assert_eq!(same, object);
        assert!(bytes == large);
        assert_eq!(object.metadata["author"], "王小明 100%");
        let known = node.client.object(&project(), &photos(), key).await;
        assert_eq!(known.unwrap(), Some(object));
    }
    put(&node, "empty", b"", &Put::default()).await.unwrap();
    assert!(got(&node, "empty").await.unwrap().1.is_empty());
    let query = ObjectsQuery {
        prefix: Some("照片/".to_owned()),
        delimiter: Some("/".to_owned()),
        ..ObjectsQuery::default()
    };
    let page = node
        .client
        .objects(&project(), &photos(), &query)
        .await
        .unwrap();
    assert_eq!(
        (page.objects.len(), page.prefixes),
        (0, vec!["照片/二〇二六/".to_owned()])
    );
    let query = ObjectsQuery {
        limit: Some(3),
        ..ObjectsQuery::default()
    };
    let page = node
        .client
        .objects(&project(), &photos(), &query)
        .await
        .unwrap();
    assert_eq!((page.objects.len(), page.next.is_some()), (3, true));
    let buckets = node.client.buckets(&project()).await.unwrap();
    assert_eq!(buckets.buckets, [photos()]);
    for key in keys {
        let removed = node
            .client
            .delete_object(&project(), &photos(), key, None)
            .await;
        removed.unwrap();
    }
    let again = node
        .client
        .delete_object(&project(), &photos(), "/", None)
        .await;
    let error = failed(again, Kind::NotFound);
    assert_eq!(error.message, "no such object: photos//");
    failed(got(&node, "空").await, Kind::NotFound);
    let long = "k".repeat(1025);
    failed(
        put(&node, &long, b"x", &Put::default()).await,
        Kind::Invalid,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_and_ranges_are_those_of_http() {
    let node = node().await;
    let object = put(&node, "k", b"0123456789", &Put::default())
        .await
        .unwrap();
    let etag = object.etag.clone();
    let absent = Put {
        if_absent: true,
        ..Put::default()
    };
    failed(
        put(&node, "k", &[1; 300_000], &absent).await,
        Kind::Conflict,
    );
    let stale = Put {
        if_match: Some("0".repeat(64)),
        ..Put::default()
    };
    failed(put(&node, "k", b"x", &stale).await, Kind::Conflict);
    let removed = node
        .client
        .delete_object(&project(), &photos(), "k", Some("x"))
        .await;
    failed(removed, Kind::Conflict);
    let path = "/v1/projects/default/blobs/photos/k";
    let ask = async |method: &str, headers: &str| node.authorized(method, path, headers, "").await;
    for (headers, status, wanted) in [
        ("", "200", "\r\n\r\n0123456789"),
        (
            "range: bytes=2-4\r\n",
            "206",
            "content-range: bytes 2-4/10\r\n",
        ),
        ("range: bytes=-3\r\n", "206", "\r\n\r\n789"),
        ("range: bytes=10-\r\n", "416", "bytes that it has: 10"),
        ("range: bytes=0-1,3-4\r\n", "200", "\r\n\r\n0123456789"),
        ("if-match: \"x\"\r\n", "412", "another by now"),
        ("if-none-match: *\r\n", "304", "etag: "),
    ] {
        let answer = ask("GET", headers).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers}{answer}"
        );
        assert!(answer.contains(wanted), "{headers}{answer}");
    }
    let same = format!("range: bytes=1-1\r\nif-range: \"{etag}\"\r\n");
    assert!(ask("GET", &same).await.ends_with("\r\n\r\n1"));
    let other = "range: bytes=1-1\r\nif-range: \"x\"\r\n";
    assert!(ask("GET", other).await.ends_with("\r\n\r\n0123456789"));
    let head = ask("HEAD", "").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert!(head.contains(&format!("etag: \"{etag}\"\r\n")), "{head}");
    // Bytes that are held against a checksum.
    let wrong = format!("x-gust-sha256: {}\r\n", "0".repeat(64));
    let answer = node.authorized("PUT", path, &wrong, "other").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(got(&node, "k").await.unwrap().1, b"0123456789");
    let answer = node
        .authorized("PUT", path, "if-none-match: \"a\"\r\n", "x")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_breaks_off_puts_nothing() {
    let node = node().await;
    let head = format!(
        "PUT /v1/projects/default/blobs/photos/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100000\r\n\r\nhalf",
        node.token
    );
    let mut socket = tokio::net::TcpStream::connect(node.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    drop(socket);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let query = ObjectsQuery::default();
    let page = node
        .client
        .objects(&project(), &photos(), &query)
        .await
        .unwrap();
    assert!(page.objects.is_empty());
    let nobody = gust_types::ProjectName::new("nobody").unwrap();
    failed(node.client.buckets(&nobody).await, Kind::NotFound);
}

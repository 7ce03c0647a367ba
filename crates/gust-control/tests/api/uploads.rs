//! Artifacts on their way in.

use std::{sync::Arc, time::Duration};

use gust_control::Settings;
use gust_types::{ByteSize, Digest, Kind};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{app, app_name, eventually, node, node_with, project};

fn incoming(node: &crate::harness::Node) -> usize {
    let folder = node.artifacts.incoming("x");
    std::fs::read_dir(folder.parent().unwrap()).unwrap().count()
}

#[tokio::test]
async fn an_upload_is_stored_once() {
    let node = node().await;
    let bytes = vec![7u8; 3 << 20];
    let digest = Digest::of(&bytes);
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hear = {
        let heard = heard.clone();
        Arc::new(move |sent| heard.lock().push(sent))
    };
    let stored = node
        .client
        .upload(&digest, bytes.clone().into(), hear)
        .await
        .unwrap();
    assert!(stored.new && stored.size == bytes.len() as u64);
    assert_eq!(
        heard.lock().last(),
        Some(&(bytes.len() as u64)),
        "progress reaches the end"
    );
    assert_eq!(std::fs::read(node.artifacts.file(&digest)).unwrap(), bytes);
    let again = node
        .client
        .upload(&digest, bytes.into(), Arc::new(|_| {}))
        .await
        .unwrap();
    assert!(!again.new);
    assert_eq!(incoming(&node), 0);
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused() {
    let node = node().await;
    let digest = Digest::of(b"promised");
    let error = node
        .client
        .upload(&digest, "sent"[..].into(), Arc::new(|_| {}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.message.contains(&Digest::of(b"sent").to_string()),
        "{}",
        error.message
    );
    assert!(!node.artifacts.has(&digest) && incoming(&node) == 0);
}

#[tokio::test]
async fn too_large_is_refused_with_or_without_a_length() {
    let node = node_with(Settings {
        max_artifact: ByteSize::kib(256),
        ..Settings::default()
    })
    .await;
    let bytes = vec![1u8; 400 << 10];
    let digest = Digest::of(&bytes);
    let error = node
        .client
        .upload(&digest, bytes.clone().into(), Arc::new(|_| {}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("256KiB"), "{}", error.message);

    // Chunked, so that the length shows only on the way.
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let token = &node.token;
    let head = format!(
        "PUT /v1/artifacts/{digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..100 {
        socket.write_all(b"1000\r\n").await.unwrap();
        socket.write_all(&[1u8; 0x1000]).await.unwrap();
        socket.write_all(b"\r\n").await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(!node.artifacts.has(&digest) && incoming(&node) == 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let node = node().await;
    let digest = Digest::of(b"x");
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let token = &node.token;
    let head = format!(
        "PUT /v1/artifacts/{digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&[1u8; 10_000]).await.unwrap();
    eventually("the upload has begun", async || incoming(&node) == 1).await;
    drop(socket);
    eventually("the half file is gone", async || incoming(&node) == 0).await;
    assert!(!node.artifacts.has(&digest));
}

#[tokio::test]
async fn names_that_are_no_digests_are_refused() {
    let node = node().await;
    for name in ["x", "sha256:zz", "..%2F..%2Fetc%2Fpasswd", "sha256:%2e%2e"] {
        let answer = node
            .authorized("PUT", &format!("/v1/artifacts/{name}"), "", "x")
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn what_nobody_needs_is_removed_after_its_grace() {
    let node = node_with(Settings {
        artifact_grace: Duration::from_millis(300),
        keep_deployments: 1,
        ..Settings::default()
    })
    .await;
    for code in ["one", "two", "never deployed"] {
        node.upload(code).await;
    }
    node.deploy(app("shop", "one")).await.unwrap();
    node.deploy(app("shop", "two")).await.unwrap();
    let [one, two, never] = ["one", "two", "never deployed"].map(|c| Digest::of(c.as_bytes()));
    node.control.sweep().await.unwrap();
    assert!(
        node.artifacts.has(&one) && node.artifacts.has(&never),
        "their grace is not over"
    );
    tokio::time::sleep(Duration::from_millis(400)).await;
    node.client.missing(vec![never]).await.unwrap();
    node.control.sweep().await.unwrap();
    assert!(
        !node.artifacts.has(&one),
        "its deployment is no longer kept"
    );
    assert!(node.artifacts.has(&two), "it serves");
    assert!(node.artifacts.has(&never), "somebody just asked for it");
    assert_eq!(
        *node.forgotten.lock(),
        [one],
        "what was prepared from it goes too"
    );
    node.client
        .remove_app(&project(), &app_name("shop"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    node.control.sweep().await.unwrap();
    assert!(!node.artifacts.has(&two) && !node.artifacts.has(&never));
}

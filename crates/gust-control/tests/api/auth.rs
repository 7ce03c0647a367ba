//! Who is let in.

use gust_api::{
    Client,
    problem::{TOKEN_NEEDED, TOKEN_REFUSED},
};
use gust_types::{Blame, Kind};

use crate::harness::node;

#[tokio::test]
async fn without_the_token_nothing_below_v1_is_reached() {
    let node = node().await;
    let description = gust_control::openapi();
    let mut checked = 0;
    for (path, item) in &description.paths.paths {
        let item = serde_json::to_value(item).unwrap();
        for method in ["get", "put", "post", "delete"] {
            if item.get(method).is_none() || !path.starts_with("/v1") {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            for token in [
                "",
                "authorization: Bearer wrong\r\n",
                "authorization: Basic eDp5\r\n",
            ] {
                let method = method.to_uppercase();
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{token}content-length: 0\r\n\r\n"
                );
                let answer = node.raw(&request).await;
                assert!(
                    answer.starts_with("HTTP/1.1 401"),
                    "{method} {path}: {answer}"
                );
                assert!(
                    answer
                        .to_ascii_lowercase()
                        .contains("www-authenticate: bearer"),
                    "{answer}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "every operation was tried: {checked}");
    let stranger = Client::new(&format!("http://{}", node.address), None).unwrap();
    let error = stranger.status().await.unwrap_err();
    assert_eq!((error.kind, error.blame), (Kind::Denied, Blame::Caller));
    assert_eq!(error.message, TOKEN_NEEDED);
    assert!(error.hint.unwrap().contains("token"));
    let wrong = Client::new(&format!("http://{}", node.address), Some("wrong".into())).unwrap();
    assert_eq!(wrong.status().await.unwrap_err().message, TOKEN_REFUSED);
}

#[tokio::test]
async fn some_doors_are_open() {
    let node = node().await;
    for (path, says) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/openapi.json", "\"openapi\":\"3.1.0\""),
        ("/metrics", "# EOF"),
    ] {
        let answer = node
            .raw(&format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.contains(says), "{path}: {answer}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let node = node().await;
    let answer = node.authorized("GET", "/v1/nothing", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("request_id"),
        "{answer}"
    );
    let answer = node.authorized("PATCH", "/v1/status", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("\"status\":405"), "{answer}");
    let answer = node
        .authorized("GET", "/v1/projects/BAD/apps", "", "")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = node
        .authorized("GET", "/v1/projects/default/usage?nope=1", "", "")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("nope"),
        "{answer}"
    );
}

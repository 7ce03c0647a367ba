use std::time::Duration;

use gust_types::{
    Digest, Error,
    call::{empty, full},
};

use super::*;
use crate::suite::{self, Specimens};

fn specimens() -> (MemoryRuntime, Specimens) {
    let digest = |name: &str| Digest::of(name.as_bytes());
    let specimens = Specimens {
        hello: digest("hello"),
        echo: digest("echo"),
        faults: digest("faults"),
        broken: Some(digest("broken")),
    };
    let runtime = MemoryRuntime::new(Pace::default())
        .with(&specimens.hello.to_string(), |_| async {
            Ok(http::Response::new(full("hello")))
        })
        .with(&specimens.echo.to_string(), |request| async {
            Ok(http::Response::new(request.into_body()))
        })
        .with(&specimens.faults.to_string(), |request| async move {
            match request.uri().path() {
                "/trap" => Err(Error::failed("the function crashed")),
                "/ok" => Ok(http::Response::new(empty())),
                path => {
                    let ms = path.rsplit('/').next().and_then(|ms| ms.parse().ok());
                    tokio::time::sleep(Duration::from_millis(ms.unwrap_or(0))).await;
                    Ok(http::Response::new(empty()))
                }
            }
        });
    (runtime, specimens)
}

#[tokio::test]
async fn the_suite_passes() {
    let (runtime, specimens) = specimens();
    suite::check(&runtime, &specimens, false).await;
    assert_eq!(runtime.counts.alive.load(Relaxed), 0, "no copy is left");
    assert_eq!(
        runtime.counts.resident.load(Relaxed),
        0,
        "nothing is resident"
    );
}

#[tokio::test]
async fn a_copy_is_shared_up_to_its_places() {
    let pace = Pace {
        reuse: ReusePlan {
            calls: 3,
            concurrent: 2,
            idle: Duration::from_secs(1),
        },
        ..Pace::default()
    };
    let (mut runtime, specimens) = specimens();
    runtime.pace = pace;
    let revision = Arc::new(Revision {
        key: gust_types::FunctionKey {
            project: gust_types::ProjectName::default_project(),
            app: gust_types::AppName::new("a").unwrap(),
            function: gust_types::FunctionName::new("f").unwrap(),
        },
        number: 1,
        artifact: specimens.hello,
        spec: suite::plain(specimens.hello),
        variables: Default::default(),
    });
    let loaded = runtime.load(revision, suite::nothing()).await.unwrap();
    let first = loaded
        .prepared
        .start(within(Duration::from_secs(5)), None)
        .await
        .unwrap();
    let way = first.sharer().expect("two places");
    let one = way.share().expect("a place");
    let two = way.share().expect("another place");
    assert!(way.share().is_none(), "both places are taken");
    drop(two);
    let again = way.share().expect("the place is free again");
    let (done, ended) = suite::done();
    let call = || suite::request(http::Request::new(empty()));
    let reply = one.call(call(), done).await.unwrap();
    reply.into_body().collect().await.unwrap();
    assert!(
        ended.get("one").await.instance.is_none(),
        "the other is under way"
    );
    let (done, ended) = suite::done();
    let reply = again.call(call(), done).await.unwrap();
    reply.into_body().collect().await.unwrap();
    assert!(
        ended.get("two").await.instance.is_some(),
        "the last one gets the copy"
    );
    let _third = way.share().expect("the third call");
    drop(first);
}

//! Stopping: what is under way finishes, what is new is refused, what takes too long is cut.

use std::time::{Duration, Instant};

use gust_types::{Reply, Span, call::full};
use tokio::net::TcpStream;

use crate::kit::{SOON, behind};

const HOST: &str = "Host: app.gust.localhost\r\n";

async fn slow(ms: u64) -> gust_types::Result<Reply> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(Reply::new(full("finished")))
}

#[tokio::test]
async fn calls_in_flight_finish_and_their_connections_close() {
    let world = behind()
        .function("/slow", |_| slow(800))
        .function("/fast", |_| slow(0))
        .open()
        .await;
    let mut busy = world.connect().await;
    busy.send(format!("GET /slow HTTP/1.1\r\n{HOST}\r\n")).await;
    let mut idle = world.connect().await;
    idle.send(format!("GET /fast HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(idle.answer().await.status, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;

    world.stop.stop();
    assert_eq!(
        idle.rest().await,
        "",
        "an idle connection is closed at once"
    );
    let answer = busy.answer().await;
    assert_eq!(answer.text(), "finished");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(busy.rest().await, "");
    assert!(
        TcpStream::connect(world.address).await.is_err(),
        "nobody new is let in"
    );
    let summary = tokio::time::timeout(SOON, world.running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((summary.open, summary.cut), (2, 0));
    assert!(summary.took < Duration::from_secs(5), "{summary:?}");
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut() {
    let world = behind()
        .function("/slow", |_| slow(60_000))
        .set(|s| s.grace = Span::millis(300))
        .open()
        .await;
    let mut busy = world.connect().await;
    busy.send(format!("GET /slow HTTP/1.1\r\n{HOST}\r\n")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    world.stop.stop();
    assert_eq!(busy.rest().await, "");
    let running = tokio::time::timeout(SOON, world.running);
    let summary = running.await.unwrap().unwrap().unwrap();
    assert_eq!((summary.open, summary.cut), (1, 1));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn streams_of_http2_finish_after_goaway() {
    let world = behind().function("/slow", |_| slow(600)).open().await;
    let mut client = crate::http2::client(&world).await;
    let request = http::Request::get("http://app.gust.localhost/slow");
    let response = client.send_request(request.body(gust_types::call::empty()).unwrap());
    let response = gust_task::spawn("request", response);
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stop.stop();
    let response = response.await.unwrap().unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "finished");
    let summary = tokio::time::timeout(SOON, world.running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(summary.cut, 0);
}

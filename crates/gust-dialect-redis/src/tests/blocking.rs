//! Clients that wait for elements of lists.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    client::{Answer, bulk, bulks, request},
    world,
};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn who_waits_is_woken_first_come_first_served() {
    let world = world().await;
    let mut pushing = world.one().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = world.one().await;
        client.send(&request(&["BLPOP", "none", "q", "0"])).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        waiting.push(client);
    }
    pushing.is(&["RPUSH", "q", "1", "2"], Answer::Int(2)).await;
    for (client, item) in waiting.iter_mut().zip(["1", "2"]) {
        let popped = timeout(SOON, client.read()).await.unwrap();
        assert_eq!(popped, Some(bulks(&["q", item])));
    }
    pushing.is(&["EXISTS", "q"], Answer::Int(0)).await;
    // Whatever makes a list wakes.
    pushing.run(&["RPUSH", "other", "3"]).await;
    pushing.ok(&["RENAME", "other", "q"]).await;
    let popped = timeout(SOON, waiting[2].read()).await.unwrap();
    assert_eq!(popped, Some(bulks(&["q", "3"])));
}

#[tokio::test]
async fn elements_move_from_list_to_list() {
    let world = world().await;
    let (mut moving, mut waiting, mut client) =
        (world.one().await, world.one().await, world.one().await);
    moving
        .send(&request(&["BLMOVE", "a", "b", "LEFT", "RIGHT", "0"]))
        .await;
    waiting.send(&request(&["BRPOP", "b", "0"])).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.ok(&["MULTI"]).await;
    client.run(&["RPUSH", "a", "x"]).await;
    client.run(&["EXEC"]).await;
    assert_eq!(timeout(SOON, moving.read()).await.unwrap(), Some(bulk("x")));
    assert_eq!(
        timeout(SOON, waiting.read()).await.unwrap(),
        Some(bulks(&["b", "x"]))
    );
}

#[tokio::test]
async fn who_waits_in_vain_is_told() {
    let world = world().await;
    let mut client = world.one().await;
    client.is(&["BLPOP", "q", "0.05"], Answer::NullArray).await;
    client
        .is(&["BRPOPLPUSH", "q", "r", "0.05"], Answer::Null)
        .await;
    client
        .fails(&["BLPOP", "q", "-1"], "ERR timeout is negative")
        .await;
    client.ok(&["SET", "s", "x"]).await;
    client.fails(&["BLPOP", "s", "1"], "WRONGTYPE").await;
    // In a transaction nobody waits.
    client.ok(&["MULTI"]).await;
    client.run(&["BLPOP", "q", "0"]).await;
    client
        .is(&["EXEC"], Answer::Array(vec![Answer::NullArray]))
        .await;
    // What was sent meanwhile is done afterwards.
    client.send(&request(&["BLPOP", "q", "0.1"])).await;
    client.send(&request(&["PING"])).await;
    assert_eq!(client.read().await, Some(Answer::NullArray));
    assert_eq!(client.read().await, Some(Answer::Status("PONG".into())));
}

#[tokio::test]
async fn who_has_gone_takes_nothing_along() {
    let world = world().await;
    let (mut gone, mut here) = (world.one().await, world.one().await);
    gone.send(&request(&["BLPOP", "q", "0"])).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(gone);
    tokio::time::sleep(Duration::from_millis(50)).await;
    here.run(&["RPUSH", "q", "x"]).await;
    here.is(&["LLEN", "q"], Answer::Int(1)).await;
}

/// Workers over one queue: each job is done once.
#[tokio::test]
async fn every_element_goes_to_one() {
    let world = world().await;
    let workers = (0..5).map(|_| async {
        let mut client = world.one().await;
        let mut done = Vec::new();
        loop {
            match client.run(&["BLPOP", "jobs", "0.5"]).await {
                Answer::Array(items) => done.push(items[1].clone()),
                _ => return done,
            }
        }
    });
    let pushing = async {
        let mut client = world.one().await;
        for n in 0..200 {
            client.run(&["RPUSH", "jobs", &n.to_string()]).await;
        }
    };
    let (done, ()) = tokio::join!(futures::future::join_all(workers), pushing);
    let mut done: Vec<_> = done
        .concat()
        .into_iter()
        .map(|job| format!("{job:?}"))
        .collect();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 200);
}

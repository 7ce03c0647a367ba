//! Bytes that no client would send.

use std::time::Duration;

use bytes::BufMut as _;
use gust_types::ProjectName;
use tokio::io::AsyncWriteExt as _;

use super::{
    client::{Raw, bind, execute, message, parse, query, startup, sync, z},
    patient, world,
};
use crate::Patience;

#[tokio::test]
async fn lengths_that_lie_end_the_connection() {
    let world = world().await;
    for first in [
        &[0, 0, 0, 0][..],
        &[0, 0, 0, 7, 1, 2, 3],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff; 16],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut raw = Raw::connect(world.address).await;
        assert_eq!(raw.ask(first).await, "E:08P01 end", "{first:?}");
    }
    let mut unfinished = startup(3 << 16, &[("user", "ONE")]);
    unfinished.pop();
    let length = unfinished.len() as u32;
    unfinished[..4].copy_from_slice(&length.to_be_bytes());
    let mut raw = Raw::connect(world.address).await;
    assert_eq!(raw.ask(&unfinished).await, "E:08P01 end");
    for (bytes, code) in [
        (vec![b'Q', 0, 0, 0, 3], "08P01"),
        (vec![b'Q', 0x7f, 0xff, 0xff, 0xff], "54000"),
        (vec![b'Q', 0xff, 0xff, 0xff, 0xff], "54000"),
        (vec![b'E', 0, 1, 0, 0], "54000"),
        (vec![b'B', 0x7f, 0, 0, 0], "54000"),
        (vec![0, 0, 0, 0, 4], "08P01"),
        (vec![b'!', 0, 0, 0, 4], "08P01"),
        (message(b'p', b"x"), "08P01"),
    ] {
        let mut raw = world.raw().await;
        assert_eq!(raw.ask(&bytes).await, format!("E:{code} end"), "{bytes:?}");
    }
}

#[tokio::test]
async fn bodies_that_lie_end_the_connection() {
    let world = world().await;
    let mut many = [z(""), z("")].concat();
    many.put_u16(u16::MAX);
    let mut long = [z(""), z(""), vec![0, 0, 0, 1]].concat();
    long.put_u32(0x7fff_ffff);
    let mut odd = [z(""), z("")].concat();
    odd.extend([0, 1, 0, 9, 0, 0, 0, 0]);
    let parse_many = [z(""), z("select 1"), vec![0xff, 0xff]].concat();
    for (kind, body) in [
        (b'P', Vec::new()),
        (b'P', z("")),
        (b'P', parse_many),
        (b'B', Vec::new()),
        (b'B', many),
        (b'B', long),
        (b'B', odd),
        (b'D', Vec::new()),
        (b'D', vec![b'?', 0]),
        (b'E', z("")),
        (b'C', vec![b'S']),
        (b'Q', b"select 1".to_vec()),
        (b'Q', b"select 1\0more\0".to_vec()),
        (b'S', vec![1]),
    ] {
        let mut raw = world.raw().await;
        let said = raw.ask(&message(kind, &body)).await;
        assert_eq!(said, "E:08P01 end", "{} {body:?}", char::from(kind));
    }
    let mut raw = world.raw().await;
    assert_eq!(
        raw.ask(&message(b'Q', b"select '\xff'\0")).await,
        "E:22021 Z:I"
    );
    assert_eq!(raw.ask(&message(b'F', &[0; 10])).await, "E:0A000 Z:I");
    assert_eq!(
        raw.query("select '中文' as 名").await,
        "T:名=25 D:中文 C:SELECT 1 Z:I"
    );
    assert_eq!(gust_task::panics(), 0);
}

#[tokio::test]
async fn what_is_kept_has_a_bound() {
    let world = world().await;
    let mut raw = world.raw().await;
    let mut all = Vec::new();
    for n in 0..1001 {
        all.extend(parse(&format!("s{n}"), "select 1"));
    }
    all.extend(sync());
    let said = raw.ask(&all).await;
    assert!(said.ends_with("1 1 E:53400 Z:I"), "{said}");
    assert_eq!(said.matches('1').count(), 1000);
    let portals: Vec<_> = (0..65)
        .flat_map(|n| bind(&format!("p{n}"), "s1", &[]))
        .collect();
    let said = raw.ask(&[portals, sync()].concat()).await;
    assert!(said.ends_with("2 E:53400 Z:I"), "{said}");
    raw.query("begin").await;
    let numbers = "with recursive n (x) as (select 1 union all select x + 1 from n where x < 9) select x from n";
    let mut live = [
        message(b'C', &[b"S".to_vec(), z("s1")].concat()),
        parse("s1", numbers),
    ]
    .concat();
    for n in 0..5 {
        live.extend(bind(&format!("p{n}"), "s1", &[]));
        live.extend(execute(&format!("p{n}"), 1));
    }
    let said = raw.ask(&[live, sync()].concat()).await;
    assert!(said.ends_with("2 D:1 s 2 E:53400 Z:E"), "{said}");
    let long = format!("select '{}'", "x".repeat(100 << 10));
    assert_eq!(raw.query("rollback").await, "C:ROLLBACK Z:I");
    assert_eq!(raw.query(&long).await, "E:54000 Z:I");
    let big = "select zeroblob(900000) as a union all select zeroblob(900001)";
    assert_eq!(
        raw.query(big)
            .await
            .split(' ')
            .rev()
            .take(2)
            .collect::<Vec<_>>(),
        ["Z:I", "E:54000"]
    );
}

#[tokio::test]
async fn room_is_taken_for_what_came_and_given_back() {
    let world = world().await;
    let part = world.door.0.budget.of(&ProjectName::default_project());
    let mut raw = world.raw().await;
    let taken = async |least: usize, most: usize| {
        for _ in 0..200 {
            if (least..=most).contains(&part.taken()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} KiB are taken, not {least} to {most}", part.taken());
    };
    raw.ask(&[parse("s", "select length($1)"), sync()].concat())
        .await;
    let large = "x".repeat(900 << 10);
    let bound = bind("p", "s", &[&large]);
    raw.send(&bound[..100]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(part.taken() < 64, "it was announced, and did not come");
    raw.send(&bound[100..500 << 10]).await;
    taken(300, 600).await;
    raw.send(&[&bound[500 << 10..], &message(b'H', &[])].concat())
        .await;
    assert_eq!(raw.next().await.unwrap().0, b'2');
    taken(800, 900).await;
    let said = raw.ask(&[execute("p", 0), sync()].concat()).await;
    assert_eq!(said, format!("D:{} C:SELECT 1 Z:I", 900 << 10));
    taken(0, 0).await;
    let words = format!("select {}1", "1,".repeat(15_000));
    let said = raw.ask(&[parse("w", &words), sync()].concat()).await;
    assert_eq!(said, "1 Z:I");
    taken(1000, 3000).await;
    let close = message(b'C', &[b"S".to_vec(), z("w")].concat());
    raw.ask(&[close, sync()].concat()).await;
    taken(0, 0).await;
    let named = parse(&"n".repeat(1025), "select 1");
    assert_eq!(raw.ask(&[named, sync()].concat()).await, "E:42622 Z:I");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.query("create table t (a)").await;
    for _ in 0..3 {
        let mut gone = world.raw().await;
        gone.query("begin; insert into t values (1)").await;
        drop(gone);
    }
    let mut half = world.raw().await;
    half.send(&query("insert into t values (2); select 1"))
        .await;
    half.socket.shutdown().await.unwrap();
    assert_eq!(
        half.until_ready().await,
        "C:INSERT 0 1 T:1=20 D:1 C:SELECT 1 Z:I",
        "what was asked is answered"
    );
    assert!(half.next().await.is_none());
    let mut cut = world.raw().await;
    cut.send(&query("insert into t values (3)")[..12]).await;
    cut.socket.shutdown().await.unwrap();
    assert!(cut.next().await.is_none());
    assert_eq!(
        raw.query("insert into t values (9) returning a").await,
        "T:a=20 D:9 C:INSERT 0 1 Z:I"
    );
    assert_eq!(
        raw.query("select count(*) from t").await,
        "T:count(*)=20 D:2 C:SELECT 1 Z:I"
    );
}

#[tokio::test]
async fn what_the_seam_denies_stays_denied() {
    let world = world().await;
    let mut raw = world.raw().await;
    for (text, code) in [
        ("attach database '/etc/passwd' as x", "42501"),
        ("pragma writable_schema = 1", "42501"),
        ("select load_extension('x')", "42501"),
        ("create table _gust_x (a)", "42501"),
        ("select * from pragma_database_list", "42501"),
    ] {
        assert_eq!(raw.query(text).await, format!("E:{code} Z:I"), "{text}");
    }
}

#[tokio::test]
async fn who_waits_too_long_is_ended() {
    let world = patient(Patience {
        startup: Duration::from_secs(2),
        login: Duration::from_secs(5),
        in_transaction: Duration::from_secs(1),
        idle: Duration::from_secs(8),
    })
    .await;
    let mut raw = world.raw().await;
    raw.query("create table t (a)").await;
    let mut idle = world.raw().await;
    let said = idle.query("begin; insert into t values (1)").await;
    assert_eq!(said, "C:BEGIN C:INSERT 0 1 Z:T");
    assert_eq!(idle.until_ready().await, "E:25P03 end");
    let said = raw.query("insert into t values (2) returning a").await;
    assert_eq!(said, "T:a=20 D:2 C:INSERT 0 1 Z:I", "nobody else writes");
    let mut silent = Raw::connect(world.address).await;
    let mut half = Raw::connect(world.address).await;
    let first = startup(3 << 16, &[("user", "ONE")]);
    half.send(&first[..9]).await;
    let mut slow = Raw::connect(world.address).await;
    slow.send(&first).await;
    let began = gust_task::clock::now();
    assert_eq!(silent.until_ready().await, "E:08006 end");
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(slow.next().await.unwrap().0, b'R');
    assert_eq!(slow.until_ready().await, "E:08006 end");
    assert_eq!(half.until_ready().await, "E:08006 end");
    assert_eq!(raw.until_ready().await, "E:57P05 end");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_answered_all_the_same() {
    let world = world().await;
    let mut raw = world.raw().await;
    let large = message(b'Q', &vec![b'x'; 3 << 20]);
    raw.send(&large).await;
    assert_eq!(raw.until_ready().await, "E:54000 end");
}

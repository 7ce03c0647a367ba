//! Who gets in.

use super::{
    client::{Raw, message, query, startup, z},
    world,
};

const V3: u32 = 3 << 16;

fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = 8 + rest.len() as u32;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}

#[tokio::test]
async fn encryption_is_refused_and_the_login_goes_on() {
    let world = world().await;
    let mut raw = Raw::connect(world.address).await;
    for code in [80_877_103, 80_877_104] {
        raw.send(&packet(code, &[])).await;
        assert_eq!(raw.byte().await, b'N');
    }
    raw.send(&startup(V3, &[("user", "ONE")])).await;
    let said = raw.password("secret of ONE").await;
    assert_eq!(said, "Z:I");
    assert_eq!(
        raw.query("select current_database()").await,
        "T:current_database=25 D:default C:SELECT 1 Z:I"
    );
    let mut raw = Raw::connect(world.address).await;
    let both = [packet(80_877_103, &[]), startup(V3, &[("user", "ONE")])].concat();
    assert_eq!(
        raw.ask(&both).await,
        "E:08P01 end",
        "what came with it is not read"
    );
}

#[tokio::test]
async fn only_the_secret_opens() {
    let world = world().await;
    for (user, secret) in [
        ("ONE", "secret of TWO"),
        ("ONE", ""),
        ("NOBODY", "secret of NOBODY"),
    ] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(&startup(V3, &[("user", user)])).await;
        assert_eq!(raw.password(secret).await, "E:28P01 end", "{user}");
    }
    let mut raw = Raw::connect(world.address).await;
    raw.send(&startup(V3, &[("user", "ONE")])).await;
    raw.next().await.unwrap();
    assert_eq!(
        raw.ask(&message(b'p', &z("secret of ONE"))).await,
        "E:08P01 end",
        "not in the clear"
    );
    let mut raw = Raw::connect(world.address).await;
    raw.send(&startup(V3, &[("user", "ONE")])).await;
    raw.next().await.unwrap();
    assert_eq!(
        raw.ask(&query("select 1")).await,
        "E:08P01 end",
        "nothing before a login"
    );
}

#[tokio::test]
async fn what_a_client_begins_with_is_checked() {
    let world = world().await;
    for (version, pairs, code) in [
        (2 << 16, &[("user", "ONE")][..], "0A000"),
        (4 << 16, &[("user", "ONE")], "0A000"),
        (V3, &[("database", "x")], "28000"),
        (
            V3,
            &[("user", "ONE"), ("client_encoding", "LATIN1")],
            "22023",
        ),
        (V3, &[("user", "ONE"), ("nonsense", "1")], "42704"),
        (V3, &[("user", "ONE"), ("replication", "database")], "0A000"),
        (
            V3,
            &[("user", "ONE"), ("options", "-c nonsense=1")],
            "42704",
        ),
    ] {
        let mut raw = Raw::connect(world.address).await;
        let said = raw.ask(&startup(version, pairs)).await;
        assert_eq!(said, format!("E:{code} end"), "{pairs:?}");
    }
    for bad in ["9to5", "a b", "../x", "数据"] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(&startup(V3, &[("user", "ONE"), ("database", bad)]))
            .await;
        assert_eq!(raw.password("secret of ONE").await, "E:3D000 end", "{bad}");
    }
    let mut raw = Raw::connect(world.address).await;
    let pairs = [
        ("user", "ONE"),
        ("_pq_.x", "1"),
        ("options", "-c application_name=me --search-path=a"),
    ];
    raw.send(&startup(V3 + 2, &pairs)).await;
    let (kind, said) = raw.next().await.unwrap();
    assert_eq!((kind, &said[..8]), (b'v', &[0, 0, 0, 0, 0, 0, 0, 1][..]));
    assert_eq!(raw.password("secret of ONE").await, "Z:I");
    let shown = raw.query("show application_name; show search_path").await;
    assert_eq!(
        shown,
        "T:application_name=25 D:me C:SHOW T:search_path=25 D:a C:SHOW Z:I"
    );
}

#[tokio::test]
async fn a_key_that_is_removed_ends_its_sessions() {
    let world = world().await;
    let (mut one, mut two) = (
        world.raw().await,
        Raw::enter(world.address, "TWO", "default").await,
    );
    assert_eq!(one.query("begin").await, "C:BEGIN Z:T");
    world.keys.0.lock().retain(|id| *id != "ONE");
    assert_eq!(one.query("select 1").await, "E:28000 end");
    assert_eq!(two.query("select 1").await, "T:1=20 D:1 C:SELECT 1 Z:I");
}

#[tokio::test]
async fn strangers_do_not_keep_members_out() {
    let world = world().await;
    let mut member = world.raw().await;
    let mut strangers = Vec::new();
    for _ in 0..256 {
        strangers.push(Raw::connect(world.address).await);
    }
    let mut more = Raw::connect(world.address).await;
    assert!(more.next().await.is_none(), "closed at once");
    assert_eq!(member.query("select 1").await, "T:1=20 D:1 C:SELECT 1 Z:I");
    strangers.truncate(200);
    for _ in 0..100 {
        let mut again = Raw::connect(world.address).await;
        let first = startup(V3, &[("user", "ONE")]);
        let sent = tokio::io::AsyncWriteExt::write_all(&mut again.socket, &first).await;
        if sent.is_ok() && again.next().await.is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("nobody gets in");
}

#[tokio::test]
async fn a_project_has_so_many_sessions() {
    let world = world().await;
    let mut kept = Vec::new();
    for _ in 0..64 {
        kept.push(world.raw().await);
    }
    let mut more = Raw::connect(world.address).await;
    more.send(&startup(V3, &[("user", "ONE")])).await;
    assert_eq!(more.password("secret of ONE").await, "E:53300 end");
    Raw::enter(world.address, "TWO", "default").await;
    kept.pop();
    for _ in 0..100 {
        let mut again = Raw::connect(world.address).await;
        again.send(&startup(V3, &[("user", "ONE")])).await;
        if again.password("secret of ONE").await == "Z:I" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("its place is not free again");
}

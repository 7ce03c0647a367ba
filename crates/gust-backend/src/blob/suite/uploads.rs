//! What every backend does with buckets as such, and with objects that come in parts.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use gust_types::{Blame, Error, Kind, Label, ProjectName, Result};

use super::{bytes, found, ok, pieces, refused, text};
use crate::{
    Backends,
    blob::{
        Bucket, BucketExt as _, ByteRange, Chosen, CompleteOptions, Condition, Findings,
        GetOptions, ListOptions, Part, PartOptions, PutOptions, UploadOptions, Uploads,
        UploadsOptions, body, check, collect, known,
    },
};

/// Runs every check of objects that come in parts, each on a bucket of its own.
pub async fn uploads(backends: Arc<dyn Backends>) {
    parts_become_one_object(&World::new(&backends, "parts")).await;
    ranges_cross_parts(&World::new(&backends, "ranges")).await;
    what_does_not_fit_is_refused(&World::new(&backends, "refused")).await;
    a_part_that_breaks_off_is_none(&World::new(&backends, "broken")).await;
    what_is_aborted_is_gone(&World::new(&backends, "aborted")).await;
    conditions_are_asked_at_the_end(&World::new(&backends, "conditions")).await;
    of_many_who_complete_one_does(&World::new(&backends, "many")).await;
    uploads_are_listed(&World::new(&backends, "listed")).await;
    who_reads_parts_reads_to_the_end(&World::new(&backends, "readers")).await;
}

/// Runs every check of buckets as such.
pub async fn buckets(backends: Arc<dyn Backends>) {
    buckets_come_and_go(&backends).await;
    a_bucket_that_has_something_stays(&backends).await;
}

struct World {
    bucket: Arc<dyn Bucket>,
    uploads: Arc<dyn Uploads>,
}

impl World {
    fn new(backends: &Arc<dyn Backends>, name: &str) -> Self {
        let (project, name) = (ProjectName::default_project(), label(name));
        Self {
            bucket: ok(backends.blob(&project, &name)),
            uploads: ok(backends.uploads(&project, &name)),
        }
    }

    async fn begin(&self, key: &str) -> String {
        ok(self.uploads.begin(key, UploadOptions::default()).await).id
    }

    async fn part(&self, key: &str, id: &str, number: u16, bytes: &Bytes) -> Part {
        let options = PartOptions {
            size: Some(bytes.len() as u64),
            ..PartOptions::default()
        };
        let put = self
            .uploads
            .put_part(key, id, number, pieces(bytes), options);
        ok(put.await)
    }

    async fn complete(&self, key: &str, id: &str, parts: &[&Part]) -> Result<crate::blob::Object> {
        let options = CompleteOptions::default();
        self.uploads.complete(key, id, chosen(parts), options).await
    }
}

fn label(name: &str) -> Label {
    ok(Label::new(format!("suite-{name}")))
}

fn chosen(parts: &[&Part]) -> Vec<Chosen> {
    let chosen = parts.iter().map(|part| Chosen {
        number: part.number,
        etag: part.etag.clone(),
    });
    chosen.collect()
}

async fn parts_become_one_object(world: &World) {
    let key = "大/照片 %2F";
    let options = UploadOptions {
        content_type: Some("image/jpeg".to_owned()),
        metadata: [("author".to_owned(), "王小明".to_owned())].into(),
        headers: [("cache-control".to_owned(), "no-store".to_owned())].into(),
        notes: [("sum".to_owned(), "crc32".to_owned())].into(),
    };
    let upload = ok(world.uploads.begin(key, options.clone()).await);
    assert_eq!((&*upload.key, &upload.options), (key, &options));
    assert!(
        upload.id.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{}",
        upload.id
    );
    let (one, two, three) = (bytes(300_000), bytes(7), bytes(100_000));
    // In any order, one of them twice.
    let last = world.part(key, &upload.id, 9, &three).await;
    let old = world.part(key, &upload.id, 1, &two).await;
    let first = world.part(key, &upload.id, 1, &one).await;
    let second = world.part(key, &upload.id, 4, &two).await;
    assert_eq!(
        (old.etag == second.etag, first.etag == old.etag),
        (true, false)
    );
    let there = ok(world.uploads.parts(key, &upload.id, 0, 2).await);
    assert_eq!((&there.upload, there.next), (&upload, Some(4)));
    assert_eq!(there.parts, [first.clone(), second.clone()]);
    let there = ok(world.uploads.parts(key, &upload.id, 4, 2).await);
    assert_eq!((there.parts, there.next), (vec![last.clone()], None));
    // Nothing of it is an object.
    assert!(ok(world.bucket.head(key).await).is_none());
    assert!(
        ok(world.bucket.list(ListOptions::default()).await)
            .objects
            .is_empty()
    );
    let all = [&first, &second, &last];
    let object = ok(world.complete(key, &upload.id, &all).await);
    let etags = all.iter().map(|part| &*part.etag);
    assert_eq!(object.etag, check::whole_etag(etags));
    assert_eq!(object.size, 400_007);
    assert_eq!(object.content_type, "image/jpeg");
    assert_eq!(object.metadata, options.metadata);
    assert_eq!(object.headers, options.headers);
    assert_eq!(ok(world.bucket.head(key).await).as_ref(), Some(&object));
    assert!(whole(world, key).await == [one, two, three].concat());
    // The upload is gone with it.
    refused(
        world.uploads.parts(key, &upload.id, 0, 9).await,
        Kind::NotFound,
    );
    refused(world.complete(key, &upload.id, &all).await, Kind::NotFound);
    // What was found out is kept; some parts may be left out.
    let id = world.begin(key).await;
    let findings = |name: &str| Findings {
        etag: Some(format!("e-{name}")),
        checksums: [("crc32".to_owned(), name.to_owned())].into(),
    };
    let part = PartOptions {
        found: known(findings("part")),
        size: None,
    };
    let put = world.uploads.put_part(key, &id, 2, body("ab".into()), part);
    let part = ok(put.await);
    assert_eq!((&*part.etag, &*part.checksums["crc32"]), ("e-part", "part"));
    world.part(key, &id, 3, &bytes(40_000)).await;
    let options = CompleteOptions {
        found: findings("whole"),
        ..CompleteOptions::default()
    };
    let completed = world.uploads.complete(key, &id, chosen(&[&part]), options);
    let object = ok(completed.await);
    assert_eq!((&*object.etag, object.size), ("e-whole", 2));
    assert_eq!(object.checksums, findings("whole").checksums);
    assert_eq!(text(&world.bucket, key).await.as_deref(), Some("ab"));
    // It can be overwritten and removed like any other.
    ok(world.bucket.put_bytes(key, "x".into()).await);
    assert_eq!(text(&world.bucket, key).await.as_deref(), Some("x"));
    assert!(ok(world.bucket.delete(key, Condition::Always).await).is_some());
}

async fn whole(world: &World, key: &str) -> Bytes {
    let read = ok(world.bucket.read(key, 1 << 20).await);
    read.map(|(_, bytes)| bytes).unwrap_or_default()
}

async fn ranges_cross_parts(world: &World) {
    let id = world.begin("k").await;
    let sizes = [100_000, 1, 0, 300_000, 20];
    let (mut parts, mut whole) = (Vec::new(), Vec::new());
    for (n, size) in sizes.into_iter().enumerate() {
        let bytes: Bytes = bytes(size + n).slice(n..);
        parts.push(world.part("k", &id, n as u16 + 1, &bytes).await);
        whole.extend_from_slice(&bytes);
    }
    let all: Vec<_> = parts.iter().collect();
    ok(world.complete("k", &id, &all).await);
    let size = whole.len() as u64;
    for range in [
        None,
        Some(ByteRange::From(0)),
        Some(ByteRange::From(99_999)),
        Some(ByteRange::Between(99_999, 100_001)),
        Some(ByteRange::Between(100_000, 100_000)),
        Some(ByteRange::Between(5, 399_999)),
        Some(ByteRange::Between(200_000, 200_010)),
        Some(ByteRange::Last(21)),
        Some(ByteRange::Last(1)),
    ] {
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let got = found(world.bucket.get("k", options).await);
        let wanted = range.map_or(Some(0..size), |range| range.of(size));
        assert_eq!(Some(got.range.clone()), wanted);
        let wanted = got.range.start as usize..got.range.end as usize;
        assert!(
            ok(collect(got.body).await) == whole[wanted],
            "{range:?} differs"
        );
    }
}

async fn what_does_not_fit_is_refused(world: &World) {
    for key in ["", "a\0b"] {
        refused(
            world.uploads.begin(key, UploadOptions::default()).await,
            Kind::Invalid,
        );
    }
    let odd = UploadOptions {
        headers: [("set-cookie".to_owned(), "x".to_owned())].into(),
        ..UploadOptions::default()
    };
    refused(world.uploads.begin("k", odd).await, Kind::Invalid);
    let id = world.begin("k").await;
    let put = async |id: &str, number: u16, size: Option<u64>| {
        let options = PartOptions {
            size,
            ..PartOptions::default()
        };
        let put = world
            .uploads
            .put_part("k", id, number, body("abc".into()), options);
        put.await
    };
    refused(put(&id, 0, None).await, Kind::Invalid);
    refused(
        put(&id, world.bucket.limits().parts + 1, None).await,
        Kind::Invalid,
    );
    refused(put(&id, 1, Some(2)).await, Kind::Invalid);
    refused(put(&id, 1, Some(4)).await, Kind::Invalid);
    refused(put("nobody", 1, None).await, Kind::NotFound);
    let (one, two) = (ok(put(&id, 1, None).await), ok(put(&id, 2, Some(3)).await));
    let mut other = two.clone();
    other.etag = "other".to_owned();
    let missing = Part {
        number: 3,
        ..two.clone()
    };
    for parts in [
        &[][..],
        &[&two, &one],
        &[&one, &one],
        &[&one, &other],
        &[&one, &missing],
    ] {
        refused(world.complete("k", &id, parts).await, Kind::Invalid);
    }
    // Of another key it is none.
    refused(world.complete("other", &id, &[&one]).await, Kind::NotFound);
    refused(world.uploads.abort("other", &id).await, Kind::NotFound);
    assert_eq!(
        ok(world.uploads.parts("k", &id, 0, 9).await).parts,
        [one.clone(), two]
    );
    ok(world.complete("k", &id, &[&one]).await);
    assert_eq!(text(&world.bucket, "k").await.as_deref(), Some("abc"));
}

async fn a_part_that_breaks_off_is_none(world: &World) {
    let id = world.begin("k").await;
    let old = world.part("k", &id, 1, &bytes(50_000)).await;
    for size in [0, 10, 300_000] {
        let hung_up = Error::new(Kind::Failed, Blame::Function, "hung up");
        let broken = stream::iter([Ok(bytes(size)), Err(hung_up)]).boxed();
        let put = world
            .uploads
            .put_part("k", &id, 1, broken, PartOptions::default());
        refused(put.await, Kind::Failed);
    }
    assert_eq!(
        ok(world.uploads.parts("k", &id, 0, 9).await).parts,
        std::slice::from_ref(&old)
    );
    ok(world.complete("k", &id, &[&old]).await);
    assert!(whole(world, "k").await == bytes(50_000));
}

async fn what_is_aborted_is_gone(world: &World) {
    let id = world.begin("k").await;
    let part = world.part("k", &id, 1, &bytes(50_000)).await;
    ok(world.uploads.abort("k", &id).await);
    refused(world.uploads.abort("k", &id).await, Kind::NotFound);
    refused(world.complete("k", &id, &[&part]).await, Kind::NotFound);
    let late = world
        .uploads
        .put_part("k", &id, 2, body("x".into()), PartOptions::default());
    refused(late.await, Kind::NotFound);
    assert!(ok(world.bucket.head("k").await).is_none());
    let left = ok(world.uploads.list(UploadsOptions::default()).await);
    assert!(left.uploads.is_empty());
}

async fn conditions_are_asked_at_the_end(world: &World) {
    let id = world.begin("k").await;
    let part = world.part("k", &id, 1, &bytes(9)).await;
    ok(world.bucket.put_bytes("k", "first".into()).await);
    let on = |condition| CompleteOptions {
        condition,
        ..CompleteOptions::default()
    };
    let absent = world
        .uploads
        .complete("k", &id, chosen(&[&part]), on(Condition::Absent));
    refused(absent.await, Kind::Conflict);
    let other = Condition::Etag(vec!["other".to_owned()]);
    let other = world
        .uploads
        .complete("k", &id, chosen(&[&part]), on(other));
    refused(other.await, Kind::Conflict);
    assert_eq!(text(&world.bucket, "k").await.as_deref(), Some("first"));
    let present = world
        .uploads
        .complete("k", &id, chosen(&[&part]), on(Condition::Present));
    ok(present.await);
}

async fn of_many_who_complete_one_does(world: &World) {
    let id = world.begin("k").await;
    let part = world.part("k", &id, 1, &bytes(100_000)).await;
    let parts = [&part];
    let all = (0..8).map(|_| world.complete("k", &id, &parts));
    let results = future::join_all(all).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for error in lost {
        refused(error, Kind::NotFound);
    }
}

async fn uploads_are_listed(world: &World) {
    let mut wanted = Vec::new();
    for key in ["b", "a/1", "a/2", "a/1", "照片"] {
        wanted.push((key.to_owned(), world.begin(key).await));
    }
    wanted.sort_unstable();
    let list = async |prefix: &str, after: Option<(String, Option<String>)>, most| {
        let options = UploadsOptions {
            prefix: prefix.to_owned(),
            after,
            most,
        };
        let page = ok(world.uploads.list(options).await);
        let named = page
            .uploads
            .into_iter()
            .map(|upload| (upload.key, upload.id));
        (named.collect::<Vec<_>>(), page.more)
    };
    assert_eq!(list("", None, 0).await, (wanted.clone(), false));
    assert_eq!(list("a/", None, 0).await, (wanted[..3].to_vec(), false));
    assert_eq!(list("a/", None, 2).await, (wanted[..2].to_vec(), true));
    let behind = |n: usize| Some((wanted[n].0.clone(), Some(wanted[n].1.clone())));
    assert_eq!(
        list("a/", behind(0), 9).await,
        (wanted[1..3].to_vec(), false)
    );
    assert_eq!(list("", behind(2), 1).await, (wanted[3..4].to_vec(), true));
    let key = Some(("a/1".to_owned(), None));
    assert_eq!(list("", key, 9).await, (wanted[2..].to_vec(), false));
}

async fn who_reads_parts_reads_to_the_end(world: &World) {
    let id = world.begin("k").await;
    let (one, two) = (bytes(600_000), bytes(300_000));
    let parts = [
        world.part("k", &id, 1, &one).await,
        world.part("k", &id, 2, &two).await,
    ];
    ok(world.complete("k", &id, &[&parts[0], &parts[1]]).await);
    let first = found(world.bucket.get("k", GetOptions::default()).await);
    // It may be put over itself while it is read.
    let second = found(world.bucket.get("k", GetOptions::default()).await);
    let put = world.bucket.put("k", second.body, PutOptions::default());
    assert_eq!(ok(put.await).size, 900_000);
    ok(world.bucket.delete("k", Condition::Always).await);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(ok(collect(first.body).await) == [one, two].concat());
}

async fn buckets_come_and_go(backends: &Arc<dyn Backends>) {
    let (project, name) = (ProjectName::default_project(), label("come"));
    let there = async || ok(backends.bucket(&project, &name).await);
    let listed = || ok(backends.buckets(&project)).contains(&name);
    assert_eq!((there().await, listed()), (None, false));
    assert!(!ok(backends.remove_bucket(&project, &name).await));
    assert!(ok(backends.make_bucket(&project, &name).await));
    let made = there().await.map(|bucket| bucket.made_us);
    assert!(made.is_some_and(|at| at > 1_600_000_000_000_000) && listed());
    assert!(!ok(backends.make_bucket(&project, &name).await));
    assert_eq!(there().await.map(|bucket| bucket.made_us), made);
    assert!(ok(backends.remove_bucket(&project, &name).await));
    assert_eq!((there().await, listed()), (None, false));
    // What is put makes it.
    let bucket = ok(backends.blob(&project, &name));
    ok(bucket.put_bytes("k", "x".into()).await);
    assert!(there().await.is_some() && listed());
    // That of another project is another.
    let other = ok(ProjectName::new("suite-other"));
    assert!(ok(backends.bucket(&other, &name).await).is_none());
}

async fn a_bucket_that_has_something_stays(backends: &Arc<dyn Backends>) {
    let (project, name) = (ProjectName::default_project(), label("stay"));
    let bucket = ok(backends.blob(&project, &name));
    let uploads = ok(backends.uploads(&project, &name));
    ok(bucket.put_bytes("照片", "x".into()).await);
    refused(
        backends.remove_bucket(&project, &name).await,
        Kind::Conflict,
    );
    ok(bucket.delete("照片", Condition::Always).await);
    let id = ok(uploads.begin("k", UploadOptions::default()).await).id;
    refused(
        backends.remove_bucket(&project, &name).await,
        Kind::Conflict,
    );
    ok(uploads.abort("k", &id).await);
    assert!(ok(backends.remove_bucket(&project, &name).await));
}

//! The suite, and what is particular to buckets on a disk: restarts, what is left behind, damage, full disks, and what is
//! told.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_backend::{
    Backends as _,
    blob::{
        Bucket, BucketExt as _, ByteRange, Chosen, CompleteOptions, Condition, Findings,
        GetOptions, Got, ListOptions, PartOptions, PutOptions, UploadOptions, Uploads,
        UploadsOptions, body, collect, known, suite,
    },
    changes::Watched,
    topic::{ReadOptions, Start, Topic, TopicSettings},
};
use gust_types::{Kind, Label, ProjectName};

use crate::{LocalBackends, small_disk::SmallDisk};

fn bucket(backends: &LocalBackends, name: &str) -> Arc<dyn Bucket> {
    let project = ProjectName::default_project();
    backends.blob(&project, &Label::new(name).unwrap()).unwrap()
}

fn large(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 300_000])
}

/// The files of objects, but for folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("blobs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// Waits until there are so many files.
async fn files_are(folder: &Path, count: usize) {
    for _ in 0..500 {
        if files(folder).len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {count} files: {:?}", files(folder));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let made = AtomicUsize::new(0);
    let make = async || {
        bucket(
            &backends,
            &format!("b{}", made.fetch_add(1, Ordering::Relaxed)),
        )
    };
    suite::run(make).await;
    let buckets = backends.buckets(&ProjectName::default_project()).unwrap();
    assert!(buckets.len() > 8, "{buckets:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_stay_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let photos = bucket(&backends, "photos");
        photos.put_bytes("大", large(1)).await.unwrap();
        photos.put_bytes("大", large(2)).await.unwrap();
        photos.put_bytes("小", Bytes::from("s")).await.unwrap();
        photos.put_bytes("gone", large(3)).await.unwrap();
        photos.delete("gone", Condition::Always).await.unwrap();
        files_are(folder.path(), 1).await;
        // Small objects have no file, and one that grows gets one.
        photos.put_bytes("小", large(4)).await.unwrap();
        files_are(folder.path(), 2).await;
        photos.put_bytes("小", Bytes::from("s")).await.unwrap();
        files_are(folder.path(), 1).await;
        let name = files(folder.path()).remove(0);
        assert!(!name.to_string_lossy().contains("incoming"), "{name:?}");
    }
    // What a crash leaves: bytes that came in and were never committed, and a committed file that was not moved yet.
    let kept = files(folder.path()).remove(0);
    let incoming = folder.path().join("blobs/incoming");
    std::fs::rename(&kept, incoming.join(kept.file_name().unwrap())).unwrap();
    std::fs::write(incoming.join(super::Id::new().to_string()), b"half").unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()), [kept]);
    let photos = bucket(&backends, "photos");
    let (_, bytes) = photos.read("大", 1 << 20).await.unwrap().unwrap();
    assert!(bytes == large(2));
    let (_, bytes) = photos.read("小", 1 << 20).await.unwrap().unwrap();
    assert_eq!(bytes, "s");
    let other = bucket(&backends, "other");
    let empty = other.list(ListOptions::default()).await.unwrap();
    assert!(empty.objects.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_that_a_stop_left_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let photos = bucket(&backends, "photos");
    photos.put_bytes("k", large(1)).await.unwrap();
    files_are(folder.path(), 1).await;
    let file = files(folder.path()).remove(0);
    photos.delete("k", Condition::Always).await.unwrap();
    files_are(folder.path(), 0).await;
    drop(backends);
    // As if the process had ended before it came to remove it: the file is there, and so is the note that it is garbage.
    std::fs::write(&file, b"old").unwrap();
    {
        let disk = crate::disk::Disk::new(folder.path(), gust_types::ByteSize::mib(1)).unwrap();
        let kv = folder.path().join("kv");
        let engine = crate::store::Engine::open(&kv, disk, 1 << 20).unwrap();
        let id = super::Id::parse(file.file_name().unwrap().to_str().unwrap()).unwrap();
        let batch = crate::store::engine::Batch {
            plan: crate::kv::group::Plan {
                puts: Vec::new(),
                removals: Vec::new(),
            },
            queues: vec![(id.garbage().into(), Some([].into()))],
            durable: true,
        };
        let committed = engine.try_get().unwrap().unwrap().commit(batch);
        assert!(committed.is_ok());
        engine.close();
    }
    let backends = LocalBackends::open(folder.path()).unwrap();
    files_are(folder.path(), 0).await;
    drop(backends);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_told_and_never_passed_off_as_the_object() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let photos = bucket(&backends, "photos");
    photos.put_bytes("猫.jpg", large(1)).await.unwrap();
    files_are(folder.path(), 1).await;
    let file = files(folder.path()).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[299_999] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let is_damaged = |error: gust_types::Error| {
        assert_eq!(error.kind, Kind::Internal);
        assert_eq!(error.message, "object is damaged: photos/猫.jpg");
    };
    let Got::Found(found) = photos.get("猫.jpg", GetOptions::default()).await.unwrap() else {
        panic!("not found")
    };
    let mut all = 0;
    let mut blocks = found.body;
    while let Some(block) = blocks.next().await {
        match block {
            Ok(block) => all += block.len(),
            Err(error) => {
                is_damaged(error);
                all += 1_000_000;
            }
        }
    }
    assert!(
        (1_000_000..1_299_999).contains(&all),
        "{all}: the last block is held back"
    );
    // A part that is asked for alone is not held against anything.
    let options = GetOptions {
        range: Some(ByteRange::From(1)),
        ..GetOptions::default()
    };
    let Got::Found(found) = photos.get("猫.jpg", options).await.unwrap() else {
        panic!("not found")
    };
    assert_eq!(collect(found.body).await.unwrap().len(), 299_999);
    // Too short, and not there at all.
    std::fs::write(&file, &bytes[..1000]).unwrap();
    let cut = photos.get("猫.jpg", GetOptions::default()).await;
    is_damaged(cut.err().unwrap());
    std::fs::remove_file(&file).unwrap();
    let missing = photos.get("猫.jpg", GetOptions::default()).await;
    is_damaged(missing.err().unwrap());
    // It can still be put again, and removed.
    photos.put_bytes("猫.jpg", large(2)).await.unwrap();
    let (_, bytes) = photos.read("猫.jpg", 1 << 20).await.unwrap().unwrap();
    assert!(bytes == large(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_keeps_what_is_there() {
    let Some(disk) = SmallDisk::mount("96m") else {
        return;
    };
    let backends = LocalBackends::open(disk.path()).unwrap();
    let photos = bucket(&backends, "photos");
    photos.put_bytes("k", large(1)).await.unwrap();
    photos.put_bytes("goes", large(1)).await.unwrap();
    files_are(disk.path(), 2).await;
    // Fills up while it comes.
    let endless = stream::repeat_with(|| Ok(Bytes::from(vec![7; 1 << 20])));
    let put = photos.put("k", endless.boxed(), PutOptions::default());
    let error = put.await.err().unwrap();
    assert_eq!(
        (error.kind, &*error.message),
        (Kind::Exhausted, "disk is full")
    );
    files_are(disk.path(), 2).await;
    // Announced to be more than there is room for: not a byte is taken.
    let options = PutOptions {
        size: Some(1 << 30),
        ..PutOptions::default()
    };
    let never = stream::pending().boxed();
    let error = photos.put("k", never, options).await.err().unwrap();
    assert_eq!(error.message, "disk is full");
    disk.fill();
    for bytes in [large(2), Bytes::from("small")] {
        let error = photos.put_bytes("new", bytes).await.err().unwrap();
        assert_eq!(error.message, "disk is full");
    }
    let (_, bytes) = photos.read("k", 1 << 20).await.unwrap().unwrap();
    assert!(bytes == large(1));
    // What gives room back is not refused.
    let gone = photos.delete("goes", Condition::Always).await.unwrap();
    assert!(gone.is_some());
    files_are(disk.path(), 1).await;
    disk.free();
    photos.put_bytes("new", large(2)).await.unwrap();
    files_are(disk.path(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_while_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let photos = bucket(&backends, "photos");
    let watched = Watched::Blob(Label::new("photos").unwrap());
    let project = ProjectName::default_project();
    let settings = TopicSettings::default();
    let stream = backends.topic(&project, &watched.topic(), &settings);
    let stream: Arc<dyn Topic> = stream.unwrap();
    photos.put_bytes("before", Bytes::from("x")).await.unwrap();
    stream.subscribe("a/t", Start::Earliest).await.unwrap();
    let first = photos.put_bytes("照片/猫", large(1)).await.unwrap();
    let second = photos.put_bytes("照片/猫", Bytes::from("x")).await.unwrap();
    photos.delete("照片/猫", Condition::Always).await.unwrap();
    photos.delete("照片/猫", Condition::Always).await.unwrap();
    let refused = photos.put(
        "照片/猫",
        body("y".into()),
        PutOptions {
            condition: Condition::Present,
            ..PutOptions::default()
        },
    );
    assert_eq!(refused.await.err().unwrap().kind, Kind::Conflict);
    let told = stream.read(ReadOptions::default()).await.unwrap();
    let of = |name: &str| {
        let name = format!("ce-{name}");
        let of = told.iter().map(|t| t.message.attributes[&name].clone());
        of.collect::<Vec<_>>()
    };
    assert_eq!(
        of("type"),
        [
            "gust.blob.created",
            "gust.blob.created",
            "gust.blob.deleted"
        ]
    );
    assert_eq!(of("source"), ["/blobs/photos"; 3]);
    assert_eq!(of("subject"), ["%E7%85%A7%E7%89%87/%E7%8C%AB"; 3]);
    let gone = format!("{}-deleted", second.version);
    assert_eq!(of("id"), [first.version, second.version, gone]);
    let data: serde_json::Value = serde_json::from_slice(&told[0].message.body).unwrap();
    assert_eq!(
        (&data["key"], &data["size"]),
        (&"照片/猫".into(), &300_000.into())
    );
    assert_eq!(data["etag"], first.etag);
    assert_eq!(data["content_type"], "application/octet-stream");
    assert_eq!(backends.streams().unwrap(), [(project, watched)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_suites_of_uploads_and_of_buckets() {
    let folder = tempfile::tempdir().unwrap();
    let backends = Arc::new(LocalBackends::open(folder.path()).unwrap());
    suite::uploads(backends.clone()).await;
    suite::buckets(backends).await;
}

/// Three parts of a bucket's upload, the last one small.
async fn parts(uploads: &Arc<dyn Uploads>, key: &str) -> (String, Vec<Chosen>) {
    let id = uploads
        .begin(key, UploadOptions::default())
        .await
        .unwrap()
        .id;
    let mut chosen = Vec::new();
    for (number, bytes) in [(1, large(1)), (2, large(2)), (3, Bytes::from("end"))] {
        let put = uploads.put_part(key, &id, number, body(bytes), PartOptions::default());
        let etag = put.await.unwrap().etag;
        chosen.push(Chosen { number, etag });
    }
    (id, chosen)
}

fn uploads(backends: &LocalBackends, name: &str) -> Arc<dyn Uploads> {
    let project = ProjectName::default_project();
    let name = Label::new(name).unwrap();
    backends.uploads(&project, &name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_have_files_as_long_as_anybody_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    {
        let backends = LocalBackends::open(folder.path()).unwrap();
        let (photos, uploads) = (bucket(&backends, "photos"), uploads(&backends, "photos"));
        let (id, chosen) = parts(&uploads, "大").await;
        files_are(folder.path(), 3).await;
        // Put again, a part takes the place of the one before.
        let put = uploads.put_part("大", &id, 2, body(large(2)), PartOptions::default());
        assert_eq!(put.await.unwrap().etag, chosen[1].etag);
        files_are(folder.path(), 3).await;
        let all = CompleteOptions::default();
        uploads
            .complete("大", &id, chosen[..2].to_vec(), all)
            .await
            .unwrap();
        files_are(folder.path(), 2).await;
        let (gone, _) = parts(&uploads, "gone").await;
        uploads.abort("gone", &gone).await.unwrap();
        files_are(folder.path(), 2).await;
        let (_, left) = parts(&uploads, "left").await;
        assert_eq!(left.len(), 3);
        // Read while it is overwritten, the files stay until that is done.
        let Got::Found(found) = photos.get("大", GetOptions::default()).await.unwrap() else {
            panic!("not found")
        };
        photos.put_bytes("大", Bytes::from("x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(files(folder.path()).len(), 5);
        let all = collect(found.body).await.unwrap();
        assert!(all == [large(1), large(2)].concat());
    }
    // What a crash leaves between the commit of a part and the move of its file.
    let moved = files(folder.path()).remove(0);
    let incoming = folder.path().join("blobs/incoming");
    std::fs::rename(&moved, incoming.join(moved.file_name().unwrap())).unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    files_are(folder.path(), 3).await;
    let (photos, uploads) = (bucket(&backends, "photos"), uploads(&backends, "photos"));
    let under_way = uploads.list(UploadsOptions::default()).await.unwrap();
    let id = &under_way.uploads[0].id;
    let there = uploads.parts("left", id, 0, 9).await.unwrap().parts;
    let chosen = there.iter().map(|part| Chosen {
        number: part.number,
        etag: part.etag.clone(),
    });
    let completed = uploads.complete("left", id, chosen.collect(), CompleteOptions::default());
    completed.await.unwrap();
    let (_, all) = photos.read("left", 1 << 20).await.unwrap().unwrap();
    assert!(all == [large(1), large(2), Bytes::from("end")].concat());
    photos.delete("left", Condition::Always).await.unwrap();
    files_are(folder.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_nobody_completes_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let uploads = uploads(&backends, "photos");
    let (old, _) = parts(&uploads, "old").await;
    let begun = uploads.parts("old", &old, 0, 1).await.unwrap();
    let begun_us = begun.upload.begun_us;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (new, _) = parts(&uploads, "new").await;
    files_are(folder.path(), 6).await;
    let (engine, committer) = (backends.engine.clone(), backends.committer.clone());
    let end = move |before_us| super::tidy::end_abandoned(&engine, &committer, before_us);
    let ended = tokio::task::spawn_blocking(move || (end(begun_us), end(begun_us + 1)));
    let (none, one) = ended.await.unwrap();
    assert_eq!((none.unwrap(), one.unwrap()), (0, 1));
    let gone = uploads.parts("old", &old, 0, 1).await.err().unwrap();
    assert_eq!(gone.kind, Kind::NotFound);
    assert_eq!(
        uploads.parts("new", &new, 0, 9).await.unwrap().parts.len(),
        3
    );
    files_are(folder.path(), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_a_part_is_told_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let (photos, uploads) = (bucket(&backends, "photos"), uploads(&backends, "photos"));
    let (id, chosen) = parts(&uploads, "k").await;
    let all = CompleteOptions::default();
    uploads.complete("k", &id, chosen, all).await.unwrap();
    let mut large: Vec<_> = files(folder.path());
    large.retain(|file| std::fs::metadata(file).unwrap().len() == 300_000);
    let second = large
        .iter()
        .find(|file| std::fs::read(file).unwrap()[0] == 2);
    let second = second.unwrap();
    let mut bytes = std::fs::read(second).unwrap();
    bytes[7] ^= 1;
    std::fs::write(second, &bytes).unwrap();
    let read = async |range: Option<ByteRange>| {
        let options = GetOptions {
            range,
            ..GetOptions::default()
        };
        let Got::Found(found) = photos.get("k", options).await.unwrap() else {
            panic!("not found")
        };
        collect(found.body).await
    };
    let error = read(None).await.unwrap_err();
    assert_eq!(error.message, "object is damaged: photos/k");
    // The other parts are whole.
    assert_eq!(
        read(Some(ByteRange::Between(0, 299_999)))
            .await
            .unwrap()
            .len(),
        300_000
    );
    assert_eq!(read(Some(ByteRange::From(600_000))).await.unwrap(), "end");
    std::fs::remove_file(second).unwrap();
    assert!(read(Some(ByteRange::From(400_000))).await.is_err());
}

/// An etag of another kind is not what the bytes are held against.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_held_against_their_sum_whatever_the_etag_is() {
    let folder = tempfile::tempdir().unwrap();
    let backends = LocalBackends::open(folder.path()).unwrap();
    let photos = bucket(&backends, "photos");
    for (key, bytes) in [("small", Bytes::from("x")), ("large", large(1))] {
        let options = PutOptions {
            found: known(Findings {
                etag: Some("0123456789abcdef".to_owned()),
                ..Findings::default()
            }),
            ..PutOptions::default()
        };
        photos.put(key, body(bytes.clone()), options).await.unwrap();
        let (object, read) = photos.read(key, 1 << 20).await.unwrap().unwrap();
        assert_eq!(object.etag, "0123456789abcdef");
        assert!(read == bytes);
    }
    let file = files(folder.path()).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let damaged = photos.read("large", 1 << 20).await.unwrap_err();
    assert_eq!(damaged.message, "object is damaged: photos/large");
}

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use gust_task::clock;
use tempfile::TempDir;

use super::*;

pub(super) fn key(function: &str) -> FunctionKey {
    FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new("app").unwrap(),
        function: FunctionName::new(function).unwrap(),
    }
}

fn of(function: &str) -> Filter {
    Filter {
        app: Some(AppName::new("app").unwrap()),
        function: Some(FunctionName::new(function).unwrap()),
        ..Filter::project(ProjectName::default_project())
    }
}

fn open(folder: &TempDir, settings: Settings) -> GuestLogs {
    GuestLogs::open(folder.path().join("logs"), settings).unwrap()
}

fn small() -> Settings {
    Settings {
        file: ByteSize::kib(4),
        ..Settings::default()
    }
}

fn say(logs: &GuestLogs, function: &str, call: u128, text: &str) {
    logs.append(
        &key(function),
        1,
        CallId(call),
        Stream::Stdout,
        text.as_bytes(),
    );
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

fn size(folder: &Path) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let meta = entry.metadata().unwrap();
        total += if meta.is_dir() {
            size(&entry.path())
        } else {
            meta.len()
        };
    }
    total
}

#[tokio::test]
async fn what_was_printed_can_be_read() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    assert!(
        !folder.path().join("logs").exists(),
        "silence costs no folder"
    );
    assert_eq!(logs.read(of("f"), 10).await.unwrap(), []);

    say(&logs, "f", 1, "one\ntwo\n");
    logs.append(&key("f"), 2, CallId(2), Stream::Stderr, b"three \xff\n");
    say(&logs, "g", 3, "other\n");
    let lines = logs.read(of("f"), 10).await.unwrap();
    assert_eq!(texts(&lines), ["one", "two", "three \u{fffd}"]);
    assert_eq!((lines[2].revision, lines[2].stream), (2, Stream::Stderr));
    assert_eq!(lines[2].key, key("f"));
    assert!(lines.windows(2).all(|pair| pair[0].n < pair[1].n));

    assert_eq!(
        texts(&logs.read(of("f"), 1).await.unwrap()),
        ["three \u{fffd}"]
    );
    let mut filter = Filter::project(ProjectName::default_project());
    assert_eq!(logs.read(filter.clone(), 10).await.unwrap().len(), 4);
    filter.call = Some(CallId(3));
    assert_eq!(
        texts(&logs.read(filter.clone(), 10).await.unwrap()),
        ["other"]
    );
    filter.call = None;
    filter.since_us = u64::MAX;
    assert_eq!(logs.read(filter, 10).await.unwrap(), []);
    assert_eq!(logs.counts().lines, 4);
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_old_one_ended() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    say(&logs, "f", 1, "before\n");
    logs.flush().await.unwrap();
    drop(logs);
    let file = files::path(&folder.path().join("logs"), &key("f"));
    let torn = [fs::read(&file).unwrap(), br#"{"n":12,"te"#.to_vec()].concat();
    fs::write(&file, torn).unwrap();

    let logs = open(&folder, Settings::default());
    say(&logs, "f", 2, "after\n");
    let lines = logs.read(of("f"), 10).await.unwrap();
    assert_eq!(texts(&lines), ["before", "after"]);
}

/// Lines of one write share their time, and a line that was long under way stands after younger ones.
#[tokio::test]
async fn reading_goes_on_after_a_line_and_finds_what_is_late() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    say(&logs, "f", 1, "begun ");
    let since_us = clock::unix_micros() + 1;
    std::thread::sleep(Duration::from_millis(2));
    say(&logs, "f", 2, "a\nb\nc\n");
    say(&logs, "f", 1, "and ended\n");
    let all = logs.read(of("f"), 10).await.unwrap();
    assert_eq!(texts(&all), ["a", "b", "c", "begun and ended"]);
    assert_eq!(all[0].time_us, all[2].time_us);
    let rest = Filter {
        after: all[0].n,
        ..of("f")
    };
    let rest = logs.read(rest, 10).await.unwrap();
    assert_eq!(texts(&rest), ["b", "c", "begun and ended"]);
    let since = Filter {
        since_us,
        ..of("f")
    };
    assert_eq!(texts(&logs.read(since, 10).await.unwrap()), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_function_that_prints_without_end_fills_two_files_and_no_more() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, small());
    for n in 0..400 {
        say(&logs, "f", 1, &format!("line number {n} of very many\n"));
        if n % 50 == 0 {
            logs.flush().await.unwrap();
        }
    }
    let lines = logs.read(of("f"), 10_000).await.unwrap();
    assert_eq!(lines.last().unwrap().text, "line number 399 of very many");
    let numbers: Vec<u64> = lines.iter().map(|line| line.n).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "no gap in what is kept"
    );
    assert!(size(folder.path()) <= 8192);
    let names: Vec<_> = fs::read_dir(folder.path().join("logs/default/app"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(logs.counts().lines, 400);
}

#[tokio::test]
async fn all_functions_together_stay_under_their_limit() {
    let folder = TempDir::new().unwrap();
    let logs = open(
        &folder,
        Settings {
            total: ByteSize::kib(64),
            ..small()
        },
    );
    for n in 0..200 {
        say(&logs, &format!("f{n}"), 1, &"x".repeat(1000));
        say(&logs, &format!("f{n}"), 1, "\n");
        logs.flush().await.unwrap();
        assert!(size(folder.path()) <= 66 * 1024, "after {n}");
    }
    assert_eq!(
        logs.read(of("f199"), 10).await.unwrap().len(),
        1,
        "the newest is kept"
    );
    assert_eq!(
        logs.read(of("f0"), 10).await.unwrap().len(),
        0,
        "the oldest is gone"
    );
}

#[tokio::test]
async fn a_full_disk_loses_lines_and_recovers_by_itself() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    let file = files::path(&folder.path().join("logs"), &key("f"));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    symlink("/dev/full", &file).unwrap();
    say(&logs, "f", 1, "lost\n");
    say(&logs, "g", 1, "kept\n");
    logs.flush().await.unwrap();
    assert_eq!(logs.counts().lost_lines, 1);

    fs::remove_file(&file).unwrap();
    say(&logs, "f", 1, "room again\n");
    assert_eq!(
        texts(&logs.read(of("f"), 10).await.unwrap()),
        ["room again"]
    );
    assert_eq!(texts(&logs.read(of("g"), 10).await.unwrap()), ["kept"]);
}

#[tokio::test]
async fn a_gigabyte_is_dropped_and_counted_without_waiting() {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        queue: ByteSize::kib(256),
        ..Settings::default()
    };
    let logs = open(&folder, settings);
    let piece = vec![b'x'; 4 << 20];
    let began = clock::now();
    for _ in 0..25 {
        logs.append(&key("f"), 1, CallId(1), Stream::Stdout, &piece);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let counts = logs.counts();
    assert!(counts.dropped_bytes > 50 << 20, "{counts:?}");
    logs.flush().await.unwrap();
    assert!(size(folder.path()) <= 10 << 20);
    say(&logs, "f", 2, "still here\n");
    let last = logs.read(of("f"), 1).await.unwrap();
    assert_eq!(texts(&last), ["still here"]);
}

#[tokio::test]
async fn a_follower_gets_what_was_and_what_comes_without_a_gap() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    let writer = logs.clone();
    let writing = std::thread::spawn(move || {
        for n in 0..2000 {
            // The revision changes half-way, as a deploy does.
            let revision = 1 + u64::from(n >= 1000);
            let text = format!("{n}\n");
            writer.append(
                &key("f"),
                revision,
                CallId(1),
                Stream::Stdout,
                text.as_bytes(),
            );
            if n % 20 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    let (lines, mut follow) = logs.follow(of("f"), 10_000).await.unwrap();
    let mut got: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    assert!(!got.is_empty());
    while got.len() < 2000 {
        match tokio::time::timeout(Duration::from_secs(10), follow.next()).await {
            Ok(Some(Followed::Line(line))) => got.push(line.text.clone()),
            other => panic!("{other:?} after {}", got.len()),
        }
    }
    writing.join().unwrap();
    let expected: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_slow_follower_is_told_what_it_missed_and_stops_nobody() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    let (_, mut slow) = logs.follow(of("f"), 0).await.unwrap();
    for n in 0..5000 {
        say(&logs, "f", 1, &format!("{n}\n"));
        say(&logs, "g", 1, "not asked for\n");
    }
    logs.flush().await.unwrap();
    let (mut lines, mut missed) = (0, 0);
    while lines + missed < 5000 {
        match tokio::time::timeout(Duration::from_secs(10), slow.next()).await {
            Ok(Some(Followed::Line(line))) => {
                assert_eq!(
                    line.text,
                    (lines + missed).to_string(),
                    "in order, the gap known"
                );
                lines += 1;
            }
            Ok(Some(Followed::Missed(n))) => missed += n,
            other => panic!("{other:?} after {lines} + {missed}"),
        }
    }
    assert!(missed > 0 && lines >= 1024);
    assert_eq!(
        logs.read(of("f"), 10_000).await.unwrap().len(),
        5000,
        "the files have all"
    );
}

#[tokio::test]
async fn followers_are_bounded_and_leave_when_dropped() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    let mut all = Vec::new();
    for _ in 0..MAX_FOLLOWERS {
        all.push(logs.follow(of("f"), 0).await.unwrap());
    }
    let refused = logs.follow(of("f"), 0).await.unwrap_err();
    assert_eq!(refused.kind, gust_types::Kind::Exhausted);
    all.pop();
    logs.follow(of("f"), 0).await.unwrap();
}

#[tokio::test]
async fn an_unfinished_line_shows_after_a_moment() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    let (_, mut follow) = logs.follow(of("f"), 0).await.unwrap();
    say(&logs, "f", 1, "no end");
    let got = tokio::time::timeout(Duration::from_secs(10), follow.next()).await;
    assert!(matches!(got, Ok(Some(Followed::Line(line))) if line.text == "no end"));
}

#[tokio::test]
async fn a_removed_app_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let logs = open(&folder, Settings::default());
    say(&logs, "f", 1, "secret\n");
    logs.flush().await.unwrap();
    logs.remove(ProjectName::default_project(), AppName::new("app").unwrap())
        .await
        .unwrap();
    assert_eq!(size(folder.path()), 0);
    say(&logs, "f", 1, "a new life\n");
    assert_eq!(
        texts(&logs.read(of("f"), 10).await.unwrap()),
        ["a new life"]
    );
}

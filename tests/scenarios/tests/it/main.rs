//! Stories through the real binary, one a file. Each makes what it needs: nodes on free ports, apps on the spot.

#![allow(clippy::expect_used, reason = "a story that cannot go on fails")]

mod aws;
mod bill;
mod blobs;
mod broken_off;
mod brokers;
mod callbacks;
mod cgi;
mod changes;
mod compose;
mod crash;
mod disk;
mod events;
mod first_day;
mod later;
mod limits;
mod neighbours;
mod once;
mod overload;
mod peers;
mod postgres;
mod publish;
mod redis_door;
mod restart;
mod s3;
mod second_day;
mod stores;
mod topics;
mod up;
mod webhook;

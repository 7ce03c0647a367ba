//! What is served: one row for each command.
//!
//! Lookups, the checks of how many arguments there are, which keys are read before a command runs, `COMMAND` and the table in
//! `docs/redis.md` come from here.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{
    commands::{
        expiry, hashes, keys,
        lists::{self, Waiting},
        server, sets, strings, walk, zranges, zsets, zstore,
    },
    fault::{Fault, Outcome},
    number,
    reply::Reply,
    run::Cx,
    space::Space,
    tx::Tx,
};

/// A command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Words of a request with its name; at least so many when negative.
    pub(crate) arity: i64,
    pub(crate) access: Access,
    pub(crate) keys: Keys,
    pub(crate) run: Run,
    pub(crate) group: &'static str,
}

/// What it does to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// It has to do with none.
    Neither,
}

/// Which of its words are keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys {
    None,
    /// From, to (from the end when negative), and how far apart.
    Span(usize, i64, usize),
    /// As many as the word at this position says, behind it; and the first word if that comes later.
    Numbered(usize),
}

/// How it runs.
pub(crate) enum Run {
    /// Over values alone.
    Data(fn(&mut Tx, &[Bytes]) -> Outcome),
    /// The same, but it waits while there is nothing, and answers this when its time is up.
    Wait(fn(&mut Tx, &[Bytes]) -> Waiting, Reply),
    /// The same, but it takes long, or goes through all keys of the store: others get their turn meanwhile.
    Walk(for<'a> fn(&'a mut Tx, &'a Space, &'a [Bytes]) -> BoxFuture<'a, Outcome>),
    /// About the connection or the server.
    Local(fn(&mut Cx<'_>, &[Bytes]) -> Outcome),
    /// By the session itself.
    Session(Verb),
}

/// What a session does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Auth,
    Hello,
    Quit,
    Reset,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Subscribe,
    Unsubscribe,
    Psubscribe,
    Punsubscribe,
}

use Access::{Neither as N, Read as R, Write as W};
use Run::{Data, Local, Session, Wait};

const NO: Keys = Keys::None;
const ONE: Keys = Keys::Span(1, 1, 1);
const TWO: Keys = Keys::Span(1, 2, 1);
const ALL: Keys = Keys::Span(1, -1, 1);
const PAIRS: Keys = Keys::Span(1, -1, 2);
const BUT_LAST: Keys = Keys::Span(1, -2, 1);

macro_rules! commands {
    ($($group:literal { $($name:literal $arity:literal $access:ident $keys:expr => $run:expr;)* })*) => {
        &[$($(Command {
            name: $name,
            arity: $arity,
            access: $access,
            keys: $keys,
            run: $run,
            group: $group,
        },)*)*]
    };
}

macro_rules! walk {
    ($function:path) => {
        Run::Walk(|tx, space, args| Box::pin($function(tx, space, args)))
    };
}

/// All of them.
pub(crate) const COMMANDS: &[Command] = commands! {
    "connection" {
        "auth" -2 N NO => Session(Verb::Auth);
        "client" -2 N NO => Local(server::client);
        "echo" 2 N NO => Local(server::echo);
        "hello" -1 N NO => Session(Verb::Hello);
        "ping" -1 N NO => Local(server::ping);
        "quit" -1 N NO => Session(Verb::Quit);
        "reset" 1 N NO => Session(Verb::Reset);
        "select" 2 N NO => Local(server::select);
    }
    "server" {
        "command" -1 N NO => Local(server::command);
        "config" -2 N NO => Local(server::config);
        "dbsize" 1 R NO => walk!(walk::dbsize);
        "flushall" -1 W NO => walk!(walk::flush);
        "flushdb" -1 W NO => walk!(walk::flush);
        "info" -1 N NO => Local(server::info);
        "time" 1 N NO => Local(server::time);
    }
    "keys" {
        "copy" -3 W TWO => Data(keys::copy);
        "del" -2 W ALL => Data(keys::del);
        "exists" -2 R ALL => Data(keys::exists);
        "expire" -3 W ONE => Data(expiry::expire);
        "expireat" -3 W ONE => Data(expiry::expireat);
        "expiretime" 2 R ONE => Data(expiry::expiretime);
        "keys" 2 R NO => walk!(walk::keys);
        "persist" 2 W ONE => Data(expiry::persist);
        "pexpire" -3 W ONE => Data(expiry::pexpire);
        "pexpireat" -3 W ONE => Data(expiry::pexpireat);
        "pexpiretime" 2 R ONE => Data(expiry::pexpiretime);
        "pttl" 2 R ONE => Data(expiry::pttl);
        "randomkey" 1 R NO => walk!(walk::randomkey);
        "rename" 3 W TWO => Data(keys::rename);
        "renamenx" 3 W TWO => Data(keys::renamenx);
        "scan" -2 R NO => walk!(walk::scan);
        "touch" -2 R ALL => Data(keys::exists);
        "ttl" 2 R ONE => Data(expiry::ttl);
        "type" 2 R ONE => Data(keys::kind);
        "unlink" -2 W ALL => Data(keys::del);
    }
    "strings" {
        "append" 3 W ONE => Data(strings::append);
        "decr" 2 W ONE => Data(strings::decr);
        "decrby" 3 W ONE => Data(strings::decr);
        "get" 2 R ONE => Data(strings::get);
        "getdel" 2 W ONE => Data(strings::getdel);
        "getex" -2 W ONE => Data(strings::getex);
        "getrange" 4 R ONE => Data(strings::getrange);
        "getset" 3 W ONE => Data(strings::getset);
        "incr" 2 W ONE => Data(strings::incr);
        "incrby" 3 W ONE => Data(strings::incr);
        "incrbyfloat" 3 W ONE => Data(strings::incrbyfloat);
        "mget" -2 R ALL => Data(strings::mget);
        "mset" -3 W PAIRS => Data(strings::mset);
        "msetnx" -3 W PAIRS => Data(strings::msetnx);
        "psetex" 4 W ONE => Data(strings::psetex);
        "set" -3 W ONE => Data(strings::set);
        "setex" 4 W ONE => Data(strings::setex);
        "setnx" 3 W ONE => Data(strings::setnx);
        "setrange" 4 W ONE => Data(strings::setrange);
        "strlen" 2 R ONE => Data(strings::strlen);
        "substr" 4 R ONE => Data(strings::getrange);
    }
    "hashes" {
        "hdel" -3 W ONE => Data(hashes::hdel);
        "hexists" 3 R ONE => Data(hashes::hexists);
        "hget" 3 R ONE => Data(hashes::hget);
        "hgetall" 2 R ONE => Data(hashes::hgetall);
        "hincrby" 4 W ONE => Data(hashes::hincrby);
        "hincrbyfloat" 4 W ONE => Data(hashes::hincrbyfloat);
        "hkeys" 2 R ONE => Data(hashes::hkeys);
        "hlen" 2 R ONE => Data(hashes::hlen);
        "hmget" -3 R ONE => Data(hashes::hmget);
        "hmset" -4 W ONE => Data(hashes::hmset);
        "hrandfield" -2 R ONE => Data(hashes::hrandfield);
        "hscan" -3 R ONE => walk!(hashes::hscan);
        "hset" -4 W ONE => Data(hashes::hset);
        "hsetnx" 4 W ONE => Data(hashes::hsetnx);
        "hstrlen" 3 R ONE => Data(hashes::hstrlen);
        "hvals" 2 R ONE => Data(hashes::hvals);
    }
    "lists" {
        "blmove" 6 W TWO => Wait(lists::blmove, Reply::Null);
        "blpop" -3 W BUT_LAST => Wait(lists::blpop, Reply::NullArray);
        "brpop" -3 W BUT_LAST => Wait(lists::brpop, Reply::NullArray);
        "brpoplpush" 4 W TWO => Wait(lists::brpoplpush, Reply::Null);
        "lindex" 3 R ONE => Data(lists::lindex);
        "linsert" 5 W ONE => Data(lists::linsert);
        "llen" 2 R ONE => Data(lists::llen);
        "lmove" 5 W TWO => Data(lists::lmove);
        "lpop" -2 W ONE => Data(lists::lpop);
        "lpos" -3 R ONE => Data(lists::lpos);
        "lpush" -3 W ONE => Data(lists::lpush);
        "lpushx" -3 W ONE => Data(lists::lpushx);
        "lrange" 4 R ONE => Data(lists::lrange);
        "lrem" 4 W ONE => Data(lists::lrem);
        "lset" 4 W ONE => Data(lists::lset);
        "ltrim" 4 W ONE => Data(lists::ltrim);
        "rpop" -2 W ONE => Data(lists::rpop);
        "rpoplpush" 3 W TWO => Data(lists::rpoplpush);
        "rpush" -3 W ONE => Data(lists::rpush);
        "rpushx" -3 W ONE => Data(lists::rpushx);
    }
    "sets" {
        "sadd" -3 W ONE => Data(sets::sadd);
        "scard" 2 R ONE => Data(sets::scard);
        "sdiff" -2 R ALL => walk!(sets::sdiff);
        "sdiffstore" -3 W ALL => walk!(sets::sdiffstore);
        "sinter" -2 R ALL => walk!(sets::sinter);
        "sintercard" -3 R Keys::Numbered(1) => walk!(sets::sintercard);
        "sinterstore" -3 W ALL => walk!(sets::sinterstore);
        "sismember" 3 R ONE => Data(sets::sismember);
        "smembers" 2 R ONE => Data(sets::smembers);
        "smismember" -3 R ONE => Data(sets::smismember);
        "smove" 4 W TWO => Data(sets::smove);
        "spop" -2 W ONE => Data(sets::spop);
        "srandmember" -2 R ONE => Data(sets::srandmember);
        "srem" -3 W ONE => Data(sets::srem);
        "sscan" -3 R ONE => walk!(sets::sscan);
        "sunion" -2 R ALL => walk!(sets::sunion);
        "sunionstore" -3 W ALL => walk!(sets::sunionstore);
    }
    "sorted sets" {
        "zadd" -4 W ONE => Data(zsets::zadd);
        "zcard" 2 R ONE => Data(zsets::zcard);
        "zcount" 4 R ONE => Data(zranges::zcount);
        "zincrby" 4 W ONE => Data(zsets::zincrby);
        "zinterstore" -4 W Keys::Numbered(2) => walk!(zstore::zinterstore);
        "zlexcount" 4 R ONE => Data(zranges::zlexcount);
        "zmscore" -3 R ONE => Data(zsets::zmscore);
        "zpopmax" -2 W ONE => Data(zsets::zpopmax);
        "zpopmin" -2 W ONE => Data(zsets::zpopmin);
        "zrange" -4 R ONE => Data(zranges::zrange);
        "zrangebylex" -4 R ONE => Data(zranges::zrangebylex);
        "zrangebyscore" -4 R ONE => Data(zranges::zrangebyscore);
        "zrank" 3 R ONE => Data(zsets::zrank);
        "zrem" -3 W ONE => Data(zsets::zrem);
        "zremrangebylex" 4 W ONE => Data(zranges::zremrangebylex);
        "zremrangebyrank" 4 W ONE => Data(zranges::zremrangebyrank);
        "zremrangebyscore" 4 W ONE => Data(zranges::zremrangebyscore);
        "zrevrange" -4 R ONE => Data(zranges::zrevrange);
        "zrevrangebylex" -4 R ONE => Data(zranges::zrevrangebylex);
        "zrevrangebyscore" -4 R ONE => Data(zranges::zrevrangebyscore);
        "zrevrank" 3 R ONE => Data(zsets::zrevrank);
        "zscan" -3 R ONE => walk!(zsets::zscan);
        "zscore" 3 R ONE => Data(zsets::zscore);
        "zunionstore" -4 W Keys::Numbered(2) => walk!(zstore::zunionstore);
    }
    "transactions" {
        "discard" 1 N NO => Session(Verb::Discard);
        "exec" 1 N NO => Session(Verb::Exec);
        "multi" 1 N NO => Session(Verb::Multi);
        "unwatch" 1 N NO => Session(Verb::Unwatch);
        "watch" -2 R ALL => Session(Verb::Watch);
    }
    "publish and subscribe" {
        "psubscribe" -2 N NO => Session(Verb::Psubscribe);
        "publish" 3 N NO => walk!(server::publish);
        "pubsub" -2 N NO => walk!(server::pubsub);
        "punsubscribe" -1 N NO => Session(Verb::Punsubscribe);
        "subscribe" -2 N NO => Session(Verb::Subscribe);
        "unsubscribe" -1 N NO => Session(Verb::Unsubscribe);
    }
};

/// The command of this name.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let found = |command: &&Command| command.name.as_bytes().eq_ignore_ascii_case(name);
    COMMANDS.iter().find(found)
}

// === impl Command ===

impl Command {
    /// Whether a request has as many words as it must.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        match self.arity < 0 {
            true => words >= -self.arity,
            false => words == self.arity,
        }
    }

    /// The words of a request that are keys.
    pub(crate) fn keys<'a>(&self, words: &'a [Bytes]) -> Vec<&'a Bytes> {
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Span(first, last, step) => {
                let words_before =
                    |end: i64| words.len().saturating_sub(end.unsigned_abs() as usize - 1);
                let end = if last < 0 {
                    words_before(last)
                } else {
                    last as usize + 1
                };
                let span = words.get(first..end.min(words.len())).unwrap_or_default();
                span.iter().step_by(step).collect()
            }
            Keys::Numbered(at) => {
                let count = words.get(at).and_then(|count| number::whole(count));
                let count = count
                    .and_then(|count| usize::try_from(count).ok())
                    .unwrap_or(0);
                let keys = words.get(1..at).into_iter().flatten();
                let more = words.get(at + 1..).unwrap_or_default();
                keys.chain(more.iter().take(count)).collect()
            }
        }
    }

    /// Keys that have to be read before it runs.
    pub(crate) fn reads<'a>(&self, words: &'a [Bytes]) -> Vec<&'a Bytes> {
        let is_blind = match self.name {
            "mset" | "setex" | "psetex" => true,
            "set" => strings::is_blind(words.get(1..).unwrap_or_default()),
            _ => false,
        };
        if is_blind {
            Vec::new()
        } else {
            self.keys(words)
        }
    }

    /// Whether it cannot be part of a transaction, since it takes more than one batch.
    pub(crate) fn is_alone(&self) -> bool {
        self.name.starts_with("flush")
    }

    /// Whether it goes through the whole store, and takes as long as that takes.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.run, Run::Walk(_))
            && self.group != "publish and subscribe"
            && matches!(self.keys, Keys::None)
    }

    pub(crate) fn fault_of_arity(&self) -> Fault {
        Fault::arity(self.name)
    }

    /// As `COMMAND` tells of it.
    pub(crate) fn told(&self) -> Reply {
        let mut flags = match self.access {
            Access::Read => vec![Reply::Status("readonly")],
            Access::Write => vec![Reply::Status("write")],
            Access::Neither => Vec::new(),
        };
        if matches!(self.run, Wait(..)) {
            flags.push(Reply::Status("blocking"));
        }
        let (first, last, step) = match self.keys {
            Keys::None => (0, 0, 0),
            Keys::Span(first, last, step) => (first, last, step),
            Keys::Numbered(1) => (0, 0, 0),
            Keys::Numbered(_) => (1, 1, 1),
        };
        if matches!(self.keys, Keys::Numbered(_)) {
            flags.push(Reply::Status("movablekeys"));
        }
        let none = || Reply::Array(Vec::new());
        Reply::Array(vec![
            Reply::word(self.name),
            Reply::Int(self.arity),
            Reply::Set(flags),
            Reply::count(first),
            Reply::Int(last),
            Reply::count(step),
            Reply::Set(Vec::new()),
            none(),
            none(),
            none(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words
            .iter()
            .map(|word| Bytes::from((*word).to_owned()))
            .collect();
        let found = find(&words[0]).unwrap().keys(&words);
        found
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    #[test]
    fn keys_are_found_among_the_words() {
        assert_eq!(keys(&["GET", "a"]), ["a"]);
        assert_eq!(keys(&["mset", "a", "1", "b", "2"]), ["a", "b"]);
        assert_eq!(keys(&["del", "a", "b"]), ["a", "b"]);
        assert_eq!(keys(&["blpop", "a", "b", "0"]), ["a", "b"]);
        assert_eq!(keys(&["lmove", "a", "b", "left", "left"]), ["a", "b"]);
        assert_eq!(
            keys(&["zunionstore", "d", "2", "a", "b", "weights"]),
            ["d", "a", "b"]
        );
        assert_eq!(keys(&["sintercard", "1", "a", "limit", "1"]), ["a"]);
        assert_eq!(keys(&["sintercard", "99999999999", "a"]), ["a"]);
        assert!(keys(&["ping"]).is_empty());
    }

    #[test]
    fn names_are_small_letters_and_stand_once() {
        let mut names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase()))
        );
    }

    /// The table of the page, made from this one.
    #[test]
    fn the_page_names_every_command() {
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        for command in COMMANDS {
            let name = format!("`{}`", command.name.to_uppercase());
            match groups.last_mut() {
                Some((group, names)) if *group == command.group => names.push(name),
                _ => groups.push((command.group, vec![name])),
            }
        }
        let rows = groups
            .iter()
            .map(|(group, names)| format!("| {group} | {} |\n", names.join(" ")));
        let table = format!(
            "| what | commands |\n|---|---|\n{}",
            rows.collect::<String>()
        );
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md"));
        assert!(
            page.unwrap().contains(&table),
            "docs/redis.md needs this table:\n\n{table}"
        );
    }
}

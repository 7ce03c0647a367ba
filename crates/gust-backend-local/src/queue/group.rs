//! What a group of requests comes to in the queues, before anything is written.
//!
//! Requests are evaluated in order against the tree and what the group has changed so far. One that is refused leaves
//! no trace. Should reading fail half-way through one, nothing of the whole group is written.
//!
//! What has to stay true: a message that is not dead has exactly one entry, in the index when it is alone or the first
//! of its group, among the blocked otherwise; a group has a head exactly when it has messages.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use fjall::Slice;
use gust_backend::queue::{
    Dead, Message, MessageId, Published, QueueSettings, Receipt, Taken, Verdict, check,
};
use gust_types::Result;

use super::{
    codec::{self, State, Stored},
    index::{Blocked, Entry},
    keys::{self, Keys, Place},
};
use crate::store::engine::Open;

/// A queue's name in the tree and how it behaves.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(super) name: Arc<[u8]>,
    pub(super) settings: Arc<QueueSettings>,
}

/// What somebody asks of a queue.
pub(crate) enum Op {
    Publish(Vec<Message>),
    Take {
        most: usize,
        visibility: Duration,
    },
    Settle(Vec<(Receipt, Verdict)>),
    Redrive {
        ids: Option<Vec<MessageId>>,
        most: usize,
    },
    /// Removes up to so many messages, or dead ones.
    Purge {
        dead: bool,
        most: usize,
    },
    /// Makes what is taken ready again, of so many entries after this key of the index.
    Release {
        after: Option<Vec<u8>>,
        most: usize,
    },
    /// Forgets keys and dead messages whose time is up.
    Sweep {
        most: usize,
    },
}

/// What came of it.
pub(crate) enum Done {
    Published(Vec<Published>),
    /// And when the next message can be taken, if none could.
    Taken(Vec<Taken>, Option<u64>),
    Settled(Vec<Result<Receipt>>),
    Count(u64),
    /// How many, and the key to go on after.
    Released(u64, Option<Vec<u8>>),
}

/// What is known of the tree from earlier groups. Worth nothing after a commit that failed.
#[derive(Default)]
pub(crate) struct Cache {
    numbers: HashMap<Arc<[u8]>, u32>,
    states: HashMap<Keys, State>,
    /// No entry of this queue and priority stands before this place: saves walking over what was removed.
    starts: HashMap<(Keys, u8), Place>,
}

/// A group under evaluation.
pub(crate) struct Group<'a> {
    open: &'a Open,
    cache: &'a mut Cache,
    now_us: u64,
    /// What each key will hold; `None` when it is removed.
    changes: BTreeMap<Vec<u8>, Option<Slice>>,
}

/// An entry of the index, and where it stands.
struct Found {
    place: Place,
    entry: Entry,
}

// === impl Op ===

impl Op {
    /// Whether it takes room on the disk.
    pub(crate) fn grows(&self) -> bool {
        matches!(self, Self::Publish(_))
    }

    /// Whether it has to be on the disk before it is answered.
    pub(crate) fn is_durable(&self) -> bool {
        !matches!(
            self,
            Self::Take { .. } | Self::Release { .. } | Self::Sweep { .. }
        )
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Publish(messages) => messages.iter().map(|m| m.size() + 128).sum(),
            Self::Take { most, .. } | Self::Redrive { most, .. } => most * 64,
            Self::Settle(verdicts) => verdicts.len() * 64,
            Self::Purge { most, .. } | Self::Release { most, .. } | Self::Sweep { most } => {
                most * 32
            }
        }
    }
}

// === impl Group ===

impl<'a> Group<'a> {
    pub(crate) fn new(open: &'a Open, cache: &'a mut Cache, now_us: u64) -> Self {
        Self {
            open,
            cache,
            now_us,
            changes: BTreeMap::new(),
        }
    }

    /// What the group comes to: keys with their new values, or `None` for those that go.
    pub(crate) fn finish(self) -> Vec<(Slice, Option<Slice>)> {
        let changes = self.changes.into_iter();
        changes.map(|(key, value)| (key.into(), value)).collect()
    }

    /// Evaluates one request. An error of kind `Internal` means that the group is not to be written.
    pub(crate) fn evaluate(&mut self, target: &Target, op: Op) -> Result<Done> {
        let keys = self.keys(target)?;
        let settings = &target.settings;
        let before = self.state(keys)?;
        let mut state = before;
        let done = match op {
            Op::Publish(messages) => {
                Done::Published(self.publish(keys, settings, &mut state, messages)?)
            }
            Op::Take { most, visibility } => {
                self.take(keys, settings, &mut state, most, visibility)?
            }
            Op::Settle(verdicts) => {
                let settle = |(receipt, verdict)| self.settle(keys, &mut state, receipt, verdict);
                Done::Settled(internal_first(verdicts.into_iter().map(settle))?)
            }
            Op::Redrive { ids, most } => {
                Done::Count(self.redrive(keys, settings, &mut state, ids, most)?)
            }
            Op::Purge { dead: true, most } => Done::Count(self.purge_dead(keys, &mut state, most)?),
            Op::Purge { dead: false, most } => Done::Count(self.purge(keys, &mut state, most)?),
            Op::Release { after, most } => self.release(keys, after, most)?,
            Op::Sweep { most } => Done::Count(self.sweep(keys, settings, &mut state, most)?),
        };
        if state != before {
            self.put(keys.state(), state.encode());
            self.cache.states.insert(keys, state);
        }
        Ok(done)
    }

    /// What a queue holds, as the group has left it so far.
    #[cfg(test)]
    pub(crate) fn stats(&mut self, target: &Target) -> Result<gust_backend::queue::QueueStats> {
        let keys = self.keys(target)?;
        Ok(self.state(keys)?.stats)
    }

    /// The keys of a queue, which gets its number with the first request.
    fn keys(&mut self, target: &Target) -> Result<Keys> {
        if let Some(number) = self.cache.numbers.get(&target.name) {
            return Ok(Keys(*number));
        }
        let number = match self.get(&target.name)? {
            Some(number) => codec::read_number(&number)? as u32,
            None => {
                let last = self.get(keys::LAST_QUEUE)?;
                let number = last
                    .map(|n| codec::read_number(&n))
                    .transpose()?
                    .unwrap_or(0)
                    + 1;
                let bytes = number.to_be_bytes();
                self.put(keys::LAST_QUEUE.to_vec(), bytes.to_vec());
                self.put(target.name.to_vec(), bytes.to_vec());
                number as u32
            }
        };
        self.cache.numbers.insert(target.name.clone(), number);
        Ok(Keys(number))
    }

    fn state(&mut self, keys: Keys) -> Result<State> {
        if let Some(state) = self.cache.states.get(&keys) {
            return Ok(*state);
        }
        let state = match self.get(&keys.state())? {
            Some(bytes) => State::decode(&bytes)?,
            None => State::default(),
        };
        self.cache.states.insert(keys, state);
        Ok(state)
    }

    fn publish(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        messages: Vec<Message>,
    ) -> Result<Vec<Published>> {
        let fresh: usize = messages.iter().map(Message::size).sum();
        if state.stats.bytes + state.stats.dead_bytes + fresh as u64 > settings.max_bytes.0 {
            return Err(check::full(settings));
        }
        let mut published = Vec::with_capacity(messages.len());
        for message in messages {
            published.push(self.keep(keys, settings, state, message)?);
        }
        Ok(published)
    }

    fn keep(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        message: Message,
    ) -> Result<Published> {
        if let Some(key) = &message.key
            && let Some(bytes) = self.get(&keys.remembered(key))?
        {
            let (id, until_us) = codec::read_pair(&bytes)?;
            if until_us > self.now_us {
                let id = MessageId(id);
                return Ok(Published {
                    id,
                    duplicate: true,
                });
            }
        }
        state.last += 1;
        let id = MessageId(state.last);
        if let Some(key) = &message.key {
            let until_us = self.now_us + check::micros(settings.dedup.0);
            self.put(keys.remembered(key), codec::pair(id.0, until_us));
            self.put(keys.forget(until_us, key), Vec::new());
        }
        let place = Place {
            priority: message.priority,
            at_us: self.now_us + check::micros(message.delay.unwrap_or(settings.delay.0)),
            id,
        };
        state.stats.messages += 1;
        state.stats.published += 1;
        state.stats.bytes += message.size() as u64;
        state.priorities |= 1 << message.priority;
        self.queue_up(keys, state, place, &message)?;
        let stored = Stored {
            published_us: self.now_us,
            message,
        };
        self.put(keys.message(id), stored.encode());
        Ok(Published {
            id,
            duplicate: false,
        })
    }

    /// Into the index, or behind the others of its group.
    fn queue_up(
        &mut self,
        keys: Keys,
        state: &mut State,
        place: Place,
        message: &Message,
    ) -> Result<()> {
        let size = message.size() as u32;
        let group = message.group.clone().unwrap_or_default();
        if !group.is_empty() {
            if self.get(&keys.head(&group))?.is_some() {
                state.stats.blocked += 1;
                let blocked = Blocked { place, size };
                self.put(keys.blocked(&group, place.id), blocked.encode());
                return Ok(());
            }
            self.put(keys.head(&group), place.id.0.to_be_bytes().to_vec());
        }
        let entry = Entry {
            attempts: 0,
            taken: false,
            size,
            group,
        };
        self.put_ready(keys, place, &entry);
        Ok(())
    }

    fn take(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        most: usize,
        visibility: Duration,
    ) -> Result<Done> {
        let until_us = self.now_us + check::visibility_us(visibility);
        let mut taken = Vec::new();
        // A death can bring the next of its group to the front, even one of a higher priority: then all over again.
        'again: while taken.len() < most {
            for priority in priorities(state) {
                for found in self.ready(keys, priority, most - taken.len())? {
                    let id = found.place.id;
                    let bytes = self.get(&keys.message(id))?.ok_or_else(codec::damaged)?;
                    let stored = Stored::decode(&bytes)?;
                    if let Some(cause) = self.doomed(settings, &found, &stored) {
                        self.bury(keys, state, found, stored, cause.to_owned())?;
                        continue 'again;
                    }
                    taken.push(self.hand_out(keys, found, stored, until_us));
                }
            }
            break;
        }
        let next_us = match taken.is_empty() {
            true => self.next_us(keys, state)?,
            false => None,
        };
        Ok(Done::Taken(taken, next_us))
    }

    /// What can be taken now.
    fn ready(&mut self, keys: Keys, priority: u8, most: usize) -> Result<Vec<Found>> {
        let at = |at_us, id| Place {
            priority,
            at_us,
            id: MessageId(id),
        };
        let start = self.cache.starts.get(&(keys, priority)).copied();
        let from = keys.ready(start.unwrap_or_else(|| at(0, 0)));
        let to = keys.ready(at(self.now_us + 1, 0));
        let mut found = Vec::new();
        for (key, value) in self.scan(&from, &to, most)? {
            found.push(Found {
                place: keys.place_of(&key).ok_or_else(codec::damaged)?,
                entry: Entry::decode(&value)?,
            });
        }
        let start = match found.first() {
            Some(first) => first.place,
            None if most == 0 => return Ok(found),
            None => at(self.now_us + 1, 0),
        };
        self.cache.starts.insert((keys, priority), start);
        Ok(found)
    }

    fn doomed(
        &self,
        settings: &QueueSettings,
        found: &Found,
        stored: &Stored,
    ) -> Option<&'static str> {
        let age = self.now_us.saturating_sub(stored.published_us);
        if age > check::micros(settings.max_age.0) {
            return Some(check::TOO_OLD);
        }
        (settings.attempts > 0 && found.entry.attempts >= settings.attempts)
            .then_some(check::TOO_OFTEN)
    }

    fn hand_out(&mut self, keys: Keys, found: Found, stored: Stored, until_us: u64) -> Taken {
        let Found { place, mut entry } = found;
        entry.attempts += 1;
        entry.taken = true;
        let receipt = Receipt {
            id: place.id,
            attempt: entry.attempts,
            until_us,
            priority: place.priority,
        };
        self.move_to(keys, place, until_us, &entry);
        Taken {
            receipt,
            published_us: stored.published_us,
            message: stored.message,
        }
    }

    /// When the first message can be taken that cannot be now.
    fn next_us(&mut self, keys: Keys, state: &State) -> Result<Option<u64>> {
        let mut next = None;
        for priority in priorities(state) {
            let at = |at_us, id| Place {
                priority,
                at_us,
                id: MessageId(id),
            };
            let (from, to) = (at(self.now_us + 1, 0), at(u64::MAX, u64::MAX));
            for (key, _) in self.scan(&keys.ready(from), &keys.ready(to), 1)? {
                let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
                next = Some(next.map_or(place.at_us, |n: u64| n.min(place.at_us)));
            }
        }
        Ok(next)
    }

    fn settle(
        &mut self,
        keys: Keys,
        state: &mut State,
        mut receipt: Receipt,
        verdict: Verdict,
    ) -> Result<Receipt> {
        let place = Place {
            priority: receipt.priority,
            at_us: receipt.until_us,
            id: receipt.id,
        };
        let value = self.get(&keys.ready(place))?.ok_or_else(check::stale)?;
        let mut entry = Entry::decode(&value)?;
        if entry.attempts != receipt.attempt {
            return Err(check::stale());
        }
        match verdict {
            Verdict::Done => {
                state.stats.done += 1;
                self.remove(keys, state, &Found { place, entry })?;
            }
            Verdict::Again(delay) => {
                receipt.until_us = self.now_us + check::micros(delay);
                entry.taken = false;
                self.move_to(keys, place, receipt.until_us, &entry);
            }
            Verdict::Extend(delay) => {
                receipt.until_us = self.now_us + check::micros(delay);
                self.move_to(keys, place, receipt.until_us, &entry);
            }
            Verdict::Back(delay) => {
                receipt.until_us = self.now_us + check::micros(delay);
                entry.attempts = entry.attempts.saturating_sub(1);
                entry.taken = false;
                receipt.attempt = entry.attempts;
                self.move_to(keys, place, receipt.until_us, &entry);
            }
            Verdict::Dead(cause) => {
                let bytes = self.get(&keys.message(place.id))?;
                let stored = Stored::decode(&bytes.ok_or_else(codec::damaged)?)?;
                self.bury(keys, state, Found { place, entry }, stored, cause)?;
            }
        }
        Ok(receipt)
    }

    fn bury(
        &mut self,
        keys: Keys,
        state: &mut State,
        found: Found,
        stored: Stored,
        cause: String,
    ) -> Result<()> {
        self.remove(keys, state, &found)?;
        state.stats.dead += 1;
        state.stats.dead_bytes += u64::from(found.entry.size);
        let dead = Dead {
            id: found.place.id,
            cause,
            attempts: found.entry.attempts,
            published_us: stored.published_us,
            died_us: self.now_us,
            message: stored.message,
        };
        self.put(keys.dead(dead.id), codec::encode_dead(&dead));
        Ok(())
    }

    /// Out of the queue; the next of its group comes up.
    fn remove(&mut self, keys: Keys, state: &mut State, found: &Found) -> Result<()> {
        let Found { place, entry } = found;
        self.delete(keys.ready(*place));
        self.delete(keys.message(place.id));
        state.stats.messages = state.stats.messages.saturating_sub(1);
        state.stats.bytes = state.stats.bytes.saturating_sub(u64::from(entry.size));
        if entry.group.is_empty() {
            return Ok(());
        }
        let (from, to) = keys.behind(&entry.group, place.id);
        let Some((key, value)) = self.scan(&from, &to, 1)?.pop() else {
            self.delete(keys.head(&entry.group));
            return Ok(());
        };
        let next = Blocked::decode(&value, Keys::id_of(&key).ok_or_else(codec::damaged)?)?;
        state.stats.blocked = state.stats.blocked.saturating_sub(1);
        self.delete(key);
        let head = next.place.id.0.to_be_bytes().to_vec();
        self.put(keys.head(&entry.group), head);
        let entry = Entry {
            attempts: 0,
            taken: false,
            size: next.size,
            group: entry.group.clone(),
        };
        self.put_ready(keys, next.place, &entry);
        Ok(())
    }

    fn redrive(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        ids: Option<Vec<MessageId>>,
        most: usize,
    ) -> Result<u64> {
        let mut found = Vec::new();
        match ids {
            Some(ids) => {
                for id in ids.into_iter().take(most) {
                    let dead = self.get(&keys.dead(id))?;
                    found.extend(dead.map(|bytes| (id, bytes)));
                }
            }
            None => {
                let (from, to) = keys.all_dead(None);
                for (key, value) in self.scan(&from, &to, most)? {
                    found.push((Keys::id_of(&key).ok_or_else(codec::damaged)?, value));
                }
            }
        }
        let mut count = 0;
        for (id, bytes) in found {
            // The same number twice finds nothing the second time.
            if self.get(&keys.dead(id))?.is_none() {
                continue;
            }
            let dead = codec::decode_dead(id, &bytes)?;
            self.unbury(keys, state, &dead);
            let message = Message {
                key: None,
                delay: None,
                ..dead.message
            };
            self.keep(keys, settings, state, message)?;
            count += 1;
        }
        Ok(count)
    }

    fn unbury(&mut self, keys: Keys, state: &mut State, dead: &Dead) {
        self.delete(keys.dead(dead.id));
        state.stats.dead = state.stats.dead.saturating_sub(1);
        let size = dead.message.size() as u64;
        state.stats.dead_bytes = state.stats.dead_bytes.saturating_sub(size);
    }

    fn purge_dead(&mut self, keys: Keys, state: &mut State, most: usize) -> Result<u64> {
        let (from, to) = keys.all_dead(None);
        let found = self.scan(&from, &to, most)?;
        let count = found.len() as u64;
        for (key, value) in found {
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            self.unbury(keys, state, &codec::decode_dead(id, &value)?);
        }
        Ok(count)
    }

    /// The blocked first: so that, whenever it stops, no group has messages and no head.
    fn purge(&mut self, keys: Keys, state: &mut State, most: usize) -> Result<u64> {
        let stats = &mut state.stats;
        let (from, to) = keys.all_blocked();
        let blocked = self.scan(&from, &to, most)?;
        let mut count = blocked.len() as u64;
        for (key, value) in blocked {
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            let size = Blocked::decode(&value, id)?.size;
            stats.blocked = stats.blocked.saturating_sub(1);
            stats.messages = stats.messages.saturating_sub(1);
            stats.bytes = stats.bytes.saturating_sub(u64::from(size));
            self.delete(keys.message(id));
            self.delete(key);
        }
        if count > 0 {
            return Ok(count);
        }
        let (from, to) = keys.all_ready();
        for (key, value) in self.scan(&from, &to, most)? {
            let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
            let entry = Entry::decode(&value)?;
            self.remove(keys, state, &Found { place, entry })?;
            count += 1;
        }
        Ok(count)
    }

    fn release(&mut self, keys: Keys, after: Option<Vec<u8>>, most: usize) -> Result<Done> {
        let (start, to) = keys.all_ready();
        let from = after.map_or(start, |mut key| {
            key.push(0);
            key
        });
        let found = self.scan(&from, &to, most)?;
        let full = found.len() == most;
        let last = found.last().filter(|_| full).map(|(key, _)| key.clone());
        let mut count = 0;
        for (key, value) in found {
            let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
            let mut entry = Entry::decode(&value)?;
            if entry.taken && place.at_us > self.now_us {
                entry.taken = false;
                self.move_to(keys, place, self.now_us, &entry);
                count += 1;
            }
        }
        Ok(Done::Released(count, last))
    }

    fn sweep(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        most: usize,
    ) -> Result<u64> {
        let (from, to) = keys.to_forget(self.now_us);
        let due = self.scan(&from, &to, most)?;
        let mut count = due.len() as u64;
        for (entry, _) in due {
            let name = Keys::forgotten(&entry).ok_or_else(codec::damaged)?;
            let remembered = keys.remembered(name);
            if let Some(bytes) = self.get(&remembered)?
                && codec::read_pair(&bytes)?.1 <= self.now_us
            {
                self.delete(remembered);
            }
            self.delete(entry);
        }
        let (from, to) = keys.all_dead(None);
        for (key, value) in self.scan(&from, &to, 100)? {
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            let dead = codec::decode_dead(id, &value)?;
            let age = self.now_us.saturating_sub(dead.died_us);
            if age > check::micros(settings.dead_age.0) {
                self.unbury(keys, state, &dead);
                count += 1;
            }
        }
        Ok(count)
    }

    fn move_to(&mut self, keys: Keys, place: Place, at_us: u64, entry: &Entry) {
        self.delete(keys.ready(place));
        self.put_ready(keys, Place { at_us, ..place }, entry);
    }

    fn put_ready(&mut self, keys: Keys, place: Place, entry: &Entry) {
        if let Some(start) = self.cache.starts.get_mut(&(keys, place.priority)) {
            *start = place.min(*start);
        }
        self.put(keys.ready(place), entry.encode());
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value.into()));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.open.queued(key),
        }
    }

    /// The first entries of a range, as the group has left it so far.
    fn scan(&self, from: &[u8], to: &[u8], most: usize) -> Result<Vec<(Vec<u8>, Slice)>> {
        let mut changed = self
            .changes
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
            .peekable();
        let mut stored = self.open.queue_range(from, to).peekable();
        let mut found = Vec::new();
        while found.len() < most {
            let mine = changed.peek().map(|(key, _)| key.as_slice());
            let theirs = match stored.peek() {
                Some(Ok((key, _))) => Some(&key[..]),
                Some(Err(_)) => {
                    if let Some(Err(error)) = stored.next() {
                        return Err(error);
                    }
                    continue;
                }
                None => None,
            };
            let (take_mine, drop_theirs) = match (mine, theirs) {
                (None, None) => break,
                (Some(mine), Some(theirs)) => (mine <= theirs, mine == theirs),
                (mine, _) => (mine.is_some(), false),
            };
            if drop_theirs {
                stored.next();
            }
            if take_mine {
                if let Some((key, Some(value))) = changed.next() {
                    found.push((key.clone(), value.clone()));
                }
            } else if let Some(Ok((key, value))) = stored.next() {
                found.push((key.to_vec(), value));
            }
        }
        Ok(found)
    }
}

/// The priorities that a queue has seen, the highest first.
fn priorities(state: &State) -> impl Iterator<Item = u8> + use<> {
    let seen = state.priorities;
    (0..=Message::MAX_PRIORITY)
        .rev()
        .filter(move |p| seen & (1 << p) != 0)
}

/// The answers, unless one of them says that reading failed.
fn internal_first<T>(answers: impl Iterator<Item = Result<T>>) -> Result<Vec<Result<T>>> {
    let mut all = Vec::new();
    for answer in answers {
        match answer {
            Err(error) if error.kind == gust_types::Kind::Internal => return Err(error),
            answer => all.push(answer),
        }
    }
    Ok(all)
}

//! What a group of requests comes to in the queues, before anything is written. (What it comes to in topics is in
//! `topic/group.rs`, on the same group.)
//!
//! Requests are evaluated in order against the tree and what the group has changed so far. One that is refused leaves
//! no trace. Should reading fail half-way through one, nothing of the whole group is written.
//!
//! What has to stay true: a message that is not dead has exactly one entry, in the index when it is alone or the first
//! of its group, among the blocked otherwise; a group has a head exactly when it has messages.

mod walk;

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use fjall::Slice;
use gust_backend::queue::{
    Dead, Message, MessageId, Published, QueueSettings, Receipt, Taken, Verdict, check,
};
use gust_types::{Error, Result};

use super::{
    ask::{Done, Handed, Op, Target},
    codec::{self, State, Stored},
    index::{Blocked, Entry},
    keys::{self, Keys, Place},
};

use crate::store::{Map, engine::Open};

/// What is known of the tree from earlier groups. Worth nothing after a commit that failed.
#[derive(Default)]
pub(crate) struct Cache {
    numbers: Map<Arc<[u8]>, u32>,
    states: Map<Keys, State>,
    /// What topics hold.
    pub(crate) topics: Map<Keys, crate::topic::State>,
    /// Which change streams have subscriptions, by the topic's name.
    pub(crate) listened: Map<Arc<[u8]>, bool>,
    /// No entry of this queue and priority stands before this place: saves walking over what was removed.
    starts: Map<(Keys, u8), Place>,
    /// Nor any that cannot be taken yet before this one.
    aheads: Map<(Keys, u8), Place>,
}

/// Queues that are kept in mind.
const KNOWN: usize = 16 << 10;
/// Queues of a project.
const QUEUES: usize = 1000;
/// Messages that die in one taking; the next one goes on.
const BURIALS: usize = 500;

/// A group under evaluation.
pub(crate) struct Group<'a> {
    open: &'a Open,
    pub(crate) cache: &'a mut Cache,
    pub(crate) now_us: u64,
    /// What each key will hold; `None` when it is removed.
    changes: BTreeMap<Vec<u8>, Option<Slice>>,
    /// Change streams that were appended to.
    pub(crate) told: Vec<Arc<[u8]>>,
}

/// An entry of the index, and where it stands.
struct Indexed {
    place: Place,
    entry: Entry,
}

/// Entries of a range, and whether there are more.
pub(crate) struct Found<T> {
    pub(crate) items: Vec<T>,
    pub(crate) more: bool,
}

// === impl Group ===

impl<'a> Group<'a> {
    pub(crate) fn new(open: &'a Open, cache: &'a mut Cache, now_us: u64) -> Self {
        if cache.states.len() + cache.topics.len() + cache.listened.len() > KNOWN {
            *cache = Cache::default();
        }
        Self {
            open,
            cache,
            now_us,
            changes: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// What the group comes to: keys with their new values, or `None` for those that go.
    pub(crate) fn finish(self) -> Vec<(Slice, Option<Slice>)> {
        let changes = self.changes.into_iter();
        changes.map(|(key, value)| (key.into(), value)).collect()
    }

    /// Evaluates one request. An error of kind `Internal` means that the group is not to be written.
    pub(crate) fn evaluate(&mut self, target: &Target, op: Op) -> Result<Done> {
        let settings = &target.settings;
        // A queue is made by the first message that it takes.
        let makes =
            matches!(&op, Op::Publish(messages) if fits(settings, &State::default(), messages));
        let Some(keys) = self.keys(target, makes)? else {
            return none(op, settings);
        };
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
            Op::Redrive { ids, upto, most } => {
                Done::Count(self.redrive(keys, settings, &mut state, (ids, upto), most)?)
            }
            Op::Purge {
                what,
                upto,
                after,
                most,
            } => self.purge(keys, &mut state, (what, upto), after, most)?,
            Op::Release { after, most } => self.release(keys, after, most)?,
            Op::Sweep { most } => Done::Count(self.sweep(keys, settings, &mut state, most)?),
            Op::Forget { ids } => Done::Count(self.forget_dead(keys, settings, &mut state, ids)?),
        };
        if state != before {
            self.put(keys.state(), state.encode());
            self.cache.states.insert(keys, state);
        }
        Ok(done)
    }

    /// Whether messages are still whose receipts these are.
    pub(crate) fn holds(&mut self, target: &Target, receipts: &[Receipt]) -> Result<()> {
        let keys = self.keys(target, false)?.ok_or_else(check::stale)?;
        receipts
            .iter()
            .try_for_each(|receipt| self.held(keys, receipt).map(drop))
    }

    /// Whether these could be published now: refuses what publishing them would. `fresh` queues are made before.
    pub(crate) fn may_publish(
        &mut self,
        target: &Target,
        messages: &[Message],
        fresh: &mut usize,
    ) -> Result<()> {
        let settings = &target.settings;
        let state = match self.keys(target, false)? {
            Some(keys) => self.state(keys)?,
            None => {
                self.may_make(&target.name, *fresh)?;
                *fresh += 1;
                State::default()
            }
        };
        match fits(settings, &state, messages) {
            true => Ok(()),
            false => Err(check::full(settings)),
        }
    }

    /// What a queue holds, as the group has left it so far.
    #[cfg(test)]
    pub(crate) fn stats(&mut self, target: &Target) -> Result<gust_backend::queue::QueueStats> {
        match self.keys(target, false)? {
            Some(keys) => Ok(self.state(keys)?.stats),
            None => Ok(gust_backend::queue::QueueStats::default()),
        }
    }

    /// The keys of a queue; with `make` it gets its number if it has none.
    fn keys(&mut self, target: &Target, make: bool) -> Result<Option<Keys>> {
        let known = self.number(&target.name)?;
        if known.is_some() || !make {
            return Ok(known);
        }
        self.may_make(&target.name, 0)?;
        self.give_number(&target.name).map(Some)
    }

    fn may_make(&self, name: &[u8], fresh: usize) -> Result<()> {
        if self.siblings(name, QUEUES)? + fresh < QUEUES {
            return Ok(());
        }
        let text = format!("the project has {QUEUES} queues already");
        Err(Error::exhausted(text)
            .hint("removed ones count: use one of their names again, or groups or attributes"))
    }

    /// The number of a queue or topic, if it has one.
    pub(crate) fn number(&mut self, name: &Arc<[u8]>) -> Result<Option<Keys>> {
        if let Some(number) = self.cache.numbers.get(name) {
            return Ok(Some(Keys(*number)));
        }
        let Some(number) = self.get(name)? else {
            return Ok(None);
        };
        self.know(name, codec::read_number(&number)?).map(Some)
    }

    /// Gives a queue or topic its number. Both take them from the same row, so their keys never meet.
    pub(crate) fn give_number(&mut self, name: &Arc<[u8]>) -> Result<Keys> {
        let last = self.get(keys::LAST_QUEUE)?;
        let last = last.map(|n| codec::read_number(&n)).transpose()?;
        let number = last.unwrap_or(0) + 1;
        let bytes = number.to_be_bytes();
        self.put(keys::LAST_QUEUE.to_vec(), bytes.to_vec());
        self.put(name.to_vec(), bytes.to_vec());
        self.know(name, number)
    }

    fn know(&mut self, name: &Arc<[u8]>, number: u64) -> Result<Keys> {
        let number = u32::try_from(number).map_err(|_| codec::damaged())?;
        self.cache.numbers.insert(name.clone(), number);
        Ok(Keys(number))
    }

    /// How many of its kind the project has, counted up to `most`.
    pub(crate) fn siblings(&self, name: &[u8], most: usize) -> Result<usize> {
        let (from, to) = keys::siblings(name);
        // What the platform keeps for itself is as many as there are functions and triggers.
        if *name < from[..] {
            return Ok(0);
        }
        Ok(self.scan(&from, &to, most)?.items.len())
    }

    /// Publishes into a queue as a part of something else: all of it or, with an error, nothing.
    pub(crate) fn hand_over(&mut self, target: &Target, messages: Vec<Message>) -> Result<()> {
        self.evaluate(target, Op::Publish(messages)).map(drop)
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
        if !fits(settings, state, &messages) {
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
        state.stats.bytes += message.weight();
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
        let size = message.weight() as u32;
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
        let (mut taken, mut bytes, mut burials) = (Vec::new(), 0, 0);
        let mut enough;
        loop {
            // A death makes room for another, or brings the next of its group to the front, even one of a higher
            // priority: then all over again.
            let before = burials;
            'look: for priority in priorities(state) {
                loop {
                    let died = burials;
                    for found in self.ready(keys, priority, most - taken.len())? {
                        if bytes >= check::LOOK_BYTES {
                            break 'look;
                        }
                        let id = found.place.id;
                        let body = self.get(&keys.message(id))?.ok_or_else(codec::damaged)?;
                        let stored = Stored::decode(&body)?;
                        bytes += stored.message.weight();
                        let Some(cause) = self.doomed(settings, &found, &stored) else {
                            taken.push(self.hand_out(keys, settings, found, stored, until_us));
                            continue;
                        };
                        let in_group = !found.entry.group.is_empty();
                        self.bury(keys, state, found, stored, cause.to_owned())?;
                        burials += 1;
                        if in_group || burials >= BURIALS {
                            break 'look;
                        }
                    }
                    if burials == died {
                        break;
                    }
                }
            }
            enough = bytes >= check::LOOK_BYTES || burials >= BURIALS;
            if enough || taken.len() >= most || burials == before {
                break;
            }
        }
        let next_us = match taken.is_empty() {
            // There may be more to see at once.
            true if enough => Some(self.now_us),
            true => self.next_us(keys, state)?,
            false => None,
        };
        Ok(Done::Taken(Handed::new(taken), next_us))
    }

    /// What can be taken now.
    fn ready(&mut self, keys: Keys, priority: u8, most: usize) -> Result<Vec<Indexed>> {
        let at = |at_us, id| Place {
            priority,
            at_us,
            id: MessageId(id),
        };
        let start = self.cache.starts.get(&(keys, priority)).copied();
        let from = keys.ready(start.unwrap_or_else(|| at(0, 0)));
        let to = keys.ready(at(self.now_us + 1, 0));
        let mut found = Vec::new();
        for (key, value) in self.scan(&from, &to, most)?.items {
            found.push(Indexed {
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
        found: &Indexed,
        stored: &Stored,
    ) -> Option<&'static str> {
        let age = self.now_us.saturating_sub(stored.ready_us(settings));
        if age > check::micros(settings.max_age.0) {
            return Some(check::TOO_OLD);
        }
        (settings.attempts > 0 && found.entry.attempts >= settings.attempts)
            .then_some(check::TOO_OFTEN)
    }

    fn hand_out(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        found: Indexed,
        stored: Stored,
        until_us: u64,
    ) -> Taken {
        let Indexed { place, mut entry } = found;
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
            ready_us: stored.ready_us(settings),
            message: stored.message,
        }
    }

    /// When the first message can be taken that cannot be now.
    fn next_us(&mut self, keys: Keys, state: &State) -> Result<Option<u64>> {
        let mut next: Option<u64> = None;
        for priority in priorities(state) {
            let at = |at_us, id| Place {
                priority,
                at_us,
                id: MessageId(id),
            };
            let ahead = self.cache.aheads.get(&(keys, priority)).copied();
            let from = ahead
                .unwrap_or_else(|| at(0, 0))
                .max(at(self.now_us + 1, 0));
            let end = at(u64::MAX, u64::MAX);
            let found = self
                .scan(&keys.ready(from), &keys.ready(end), 1)?
                .items
                .pop();
            let place = match found {
                Some((key, _)) => keys.place_of(&key).ok_or_else(codec::damaged)?,
                None => end,
            };
            self.cache.aheads.insert((keys, priority), place);
            if place != end {
                next = Some(next.map_or(place.at_us, |n| n.min(place.at_us)));
            }
        }
        Ok(next)
    }

    /// The entry of a message that is still whose receipt this is.
    fn held(&self, keys: Keys, receipt: &Receipt) -> Result<Indexed> {
        let place = Place {
            priority: receipt.priority,
            at_us: receipt.until_us,
            id: receipt.id,
        };
        let value = self.get(&keys.ready(place))?.ok_or_else(check::stale)?;
        let entry = Entry::decode(&value)?;
        match entry.attempts == receipt.attempt {
            true => Ok(Indexed { place, entry }),
            false => Err(check::stale()),
        }
    }

    fn settle(
        &mut self,
        keys: Keys,
        state: &mut State,
        mut receipt: Receipt,
        verdict: Verdict,
    ) -> Result<Receipt> {
        let Indexed { place, mut entry } = self.held(keys, &receipt)?;
        match verdict {
            Verdict::Done => {
                state.stats.done += 1;
                self.remove(keys, state, &Indexed { place, entry })?;
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
                self.bury(keys, state, Indexed { place, entry }, stored, cause)?;
            }
        }
        Ok(receipt)
    }

    fn bury(
        &mut self,
        keys: Keys,
        state: &mut State,
        found: Indexed,
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
    fn remove(&mut self, keys: Keys, state: &mut State, found: &Indexed) -> Result<()> {
        let Indexed { place, entry } = found;
        self.delete(keys.ready(*place));
        self.delete(keys.message(place.id));
        state.stats.messages = state.stats.messages.saturating_sub(1);
        state.stats.bytes = state.stats.bytes.saturating_sub(u64::from(entry.size));
        if entry.group.is_empty() {
            return Ok(());
        }
        let (from, to) = keys.behind(&entry.group, place.id);
        let Some((key, value)) = self.scan(&from, &to, 1)?.items.pop() else {
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

    fn move_to(&mut self, keys: Keys, place: Place, at_us: u64, entry: &Entry) {
        self.delete(keys.ready(place));
        self.put_ready(keys, Place { at_us, ..place }, entry);
    }

    fn put_ready(&mut self, keys: Keys, place: Place, entry: &Entry) {
        let of = (keys, place.priority);
        if let Some(start) = self.cache.starts.get_mut(&of) {
            *start = place.min(*start);
        }
        if let Some(ahead) = self.cache.aheads.get_mut(&of)
            && place.at_us > self.now_us
        {
            *ahead = place.min(*ahead);
        }
        self.put(keys.ready(place), entry.encode());
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value.into()));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.open.queued(key),
        }
    }

    /// The first entries of a range, as the group has left it so far: so many, or fewer when they are large.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        most: usize,
    ) -> Result<Found<(Vec<u8>, Slice)>> {
        let mut items: Vec<(Vec<u8>, Slice)> = Vec::new();
        // A clock that went back makes a range that ends before it begins.
        if from >= to {
            return Ok(Found { items, more: false });
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut changed = self.changes.range::<[u8], _>(range).peekable();
        let mut stored = self.open.queue_range(from, to).peekable();
        let mut bytes = 0;
        loop {
            let mine = changed.peek().map(|(key, _)| key.as_slice());
            let theirs = match stored.peek() {
                Some(Ok((key, _))) => Some(&key[..]),
                Some(Err(_)) => match stored.next() {
                    Some(Err(error)) => return Err(error),
                    _ => continue,
                },
                None => None,
            };
            if mine.is_none() && theirs.is_none() {
                return Ok(Found { items, more: false });
            }
            if items.len() >= most || bytes >= check::LOOK_BYTES {
                return Ok(Found { items, more: true });
            }
            let is_mine = mine.is_some_and(|mine| theirs.is_none_or(|theirs| mine <= theirs));
            let is_theirs_too = is_mine && mine == theirs;
            let found = match is_mine {
                true => changed
                    .next()
                    .and_then(|(k, v)| Some((k.clone(), v.clone()?))),
                false => stored
                    .next()
                    .transpose()?
                    .map(|(key, value)| (key.to_vec(), value)),
            };
            if is_theirs_too {
                stored.next();
            }
            if let Some(found) = found {
                bytes += found.1.len() as u64;
                items.push(found);
            }
        }
    }
}

/// What a queue that was never made answers.
fn none(op: Op, settings: &QueueSettings) -> Result<Done> {
    Ok(match op {
        Op::Publish(_) => return Err(check::full(settings)),
        Op::Take { .. } => Done::Taken(Handed::default(), None),
        Op::Settle(verdicts) => {
            Done::Settled(verdicts.iter().map(|_| Err(check::stale())).collect())
        }
        Op::Redrive { .. } | Op::Sweep { .. } | Op::Forget { .. } => Done::Count(0),
        Op::Purge { .. } | Op::Release { .. } => Done::Walked(0, None),
    })
}

/// Whether there is room for these.
fn fits(settings: &QueueSettings, state: &State, messages: &[Message]) -> bool {
    let fresh: u64 = messages.iter().map(Message::weight).sum();
    state.stats.bytes + state.stats.dead_bytes + fresh <= settings.max_bytes.0
}

/// The first key behind this one.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The priorities that a queue has seen, the highest first.
pub(super) fn priorities(state: &State) -> impl Iterator<Item = u8> + use<> {
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

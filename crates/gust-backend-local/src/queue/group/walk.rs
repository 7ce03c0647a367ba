//! What goes through many messages at once: redrive, purge, release, sweep. Each does a bounded step and can go on.

use gust_backend::queue::{Dead, Message, MessageId, QueueSettings};
use gust_types::Result;

use super::{Group, Indexed, behind};
use crate::queue::{
    ask::{Done, Kind},
    codec::{self, State},
    index::{Blocked, Entry},
    keys::Keys,
    sweep::is_over,
};

impl Group<'_> {
    pub(super) fn redrive(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        (ids, upto): (Option<Vec<MessageId>>, MessageId),
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
                for (key, value) in self.scan(&from, &to, most)?.items {
                    let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
                    found.extend((id <= upto).then_some((id, value)));
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

    pub(super) fn unbury(&mut self, keys: Keys, state: &mut State, dead: &Dead) {
        self.delete(keys.dead(dead.id));
        state.stats.dead = state.stats.dead.saturating_sub(1);
        let weight = dead.message.weight();
        state.stats.dead_bytes = state.stats.dead_bytes.saturating_sub(weight);
    }

    /// Who purges walks over the blocked before the ready: so that, whenever it stops, no group has messages and no head.
    pub(super) fn purge(
        &mut self,
        keys: Keys,
        state: &mut State,
        (what, upto): (Kind, MessageId),
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<Done> {
        let (start, to) = match what {
            Kind::Blocked => keys.all_blocked(),
            Kind::Ready => keys.all_ready(),
            Kind::Dead => keys.all_dead(None),
        };
        let found = self.scan(&after.map_or(start, behind), &to, most)?;
        let last = found.items.last().map(|(key, _)| key.clone());
        let mut count = 0;
        for (key, value) in found.items {
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            if id > upto {
                continue;
            }
            count += 1;
            match what {
                Kind::Dead => self.unbury(keys, state, &codec::decode_dead(id, &value)?),
                Kind::Ready => {
                    let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
                    let entry = Entry::decode(&value)?;
                    self.remove(keys, state, &Indexed { place, entry })?;
                }
                Kind::Blocked => {
                    let weight = u64::from(Blocked::decode(&value, id)?.size);
                    let stats = &mut state.stats;
                    stats.blocked = stats.blocked.saturating_sub(1);
                    stats.messages = stats.messages.saturating_sub(1);
                    stats.bytes = stats.bytes.saturating_sub(weight);
                    self.delete(keys.message(id));
                    self.delete(key);
                }
            }
        }
        Ok(Done::Walked(count, last.filter(|_| found.more)))
    }

    pub(super) fn release(
        &mut self,
        keys: Keys,
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<Done> {
        let (start, to) = keys.all_ready();
        let found = self.scan(&after.map_or(start, behind), &to, most)?;
        let last = found.items.last().map(|(key, _)| key.clone());
        let mut count = 0;
        for (key, value) in found.items {
            let place = keys.place_of(&key).ok_or_else(codec::damaged)?;
            let mut entry = Entry::decode(&value)?;
            if entry.taken && place.at_us > self.now_us {
                entry.taken = false;
                self.move_to(keys, place, self.now_us, &entry);
                count += 1;
            }
        }
        Ok(Done::Walked(count, last.filter(|_| found.more)))
    }

    pub(super) fn sweep(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        most: usize,
    ) -> Result<u64> {
        let (from, to) = keys.to_forget(self.now_us);
        let due = self.scan(&from, &to, most)?.items;
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
        for (key, value) in self.scan(&from, &to, most)?.items {
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            let dead = codec::decode_dead(id, &value)?;
            if is_over(settings, dead.died_us, self.now_us) {
                self.unbury(keys, state, &dead);
                count += 1;
            }
        }
        Ok(count)
    }

    pub(super) fn forget_dead(
        &mut self,
        keys: Keys,
        settings: &QueueSettings,
        state: &mut State,
        ids: Vec<MessageId>,
    ) -> Result<u64> {
        let mut count = 0;
        for id in ids {
            // It may have been published again since.
            let Some(bytes) = self.get(&keys.dead(id))? else {
                continue;
            };
            let dead = codec::decode_dead(id, &bytes)?;
            if is_over(settings, dead.died_us, self.now_us) {
                self.unbury(keys, state, &dead);
                count += 1;
            }
        }
        Ok(count)
    }
}

//! What requests come to in the topics: the same group as the queues', so that a step moves a cursor and publishes into a
//! queue in one commit.
//!
//! What has to stay true: the log has an event at every position from `first` to `last`, and at no other.

use gust_backend::{
    queue::{Message, check as sizes},
    topic::{Appended, Forward, Position, Start, TopicSettings, check},
};
use gust_types::{Error, Result};

use super::{
    ask::{Done, Op, Target},
    codec::{Cursor, State},
};
use crate::queue::{ask as queue, codec, codec::Stored, group::Group, keys::Keys};

impl Group<'_> {
    /// Evaluates one request. An error of kind `Internal` means that the group is not to be written.
    pub(crate) fn evaluate_topic(&mut self, target: &Target, op: Op) -> Result<Done> {
        let settings = &target.settings;
        let Some(keys) = self.topic(target, &op)? else {
            return none(op, settings);
        };
        let before = self.topic_state(keys)?;
        let mut state = before;
        let done = match op {
            Op::Publish { events, remember } => {
                check::room(settings, state.bytes, &events)?;
                let remember = check::micros(remember.unwrap_or(settings.dedup.0));
                let until_us = self.now_us.saturating_add(remember);
                let mut appended = Vec::with_capacity(events.len());
                for event in events {
                    appended.push(self.append(keys, &mut state, event, until_us)?);
                }
                self.trim(keys, settings, &mut state, check::STEP)?;
                Done::Appended(appended)
            }
            Op::Subscribe { name, start } => self.subscribe(keys, &state, &name, start)?,
            Op::Seek { name, start } => {
                let mut cursor = self.cursor(keys, &name)?;
                cursor.at = self.find(keys, &state, start)?;
                self.put(keys.cursor(&name), cursor.encode());
                Done::Subscription(cursor.show(name, &state))
            }
            Op::Unsubscribe(name) => {
                let was = self.get(&keys.cursor(&name))?.is_some();
                if was {
                    self.delete(keys.cursor(&name));
                    self.cache.listened.clear();
                }
                Done::Was(was)
            }
            Op::Forward(step, queue) => self.step(keys, &state, *step, &queue)?,
            Op::Purge { upto, most } => {
                self.move_behind(keys, upto)?;
                Done::Count(self.cut(keys, &mut state, upto, most)?)
            }
            Op::Sweep { most } => {
                let trimmed = self.trim(keys, settings, &mut state, most)?;
                Done::Count(trimmed.max(self.forget(keys, most)?))
            }
        };
        if state != before {
            self.put(keys.state(), state.encode());
            self.cache.topics.insert(keys, state);
        }
        Ok(done)
    }

    /// The topic's keys. It is made by the first event and the first subscription.
    fn topic(&mut self, target: &Target, op: &Op) -> Result<Option<Keys>> {
        let known = self.number(&target.name)?;
        if known.is_some() {
            return Ok(known);
        }
        let makes = match op {
            Op::Publish { events, .. } => check::room(&target.settings, 0, events).is_ok(),
            Op::Subscribe { start, .. } => {
                check::cursor(*start, 1, 0, |_| Ok(1))?;
                true
            }
            _ => false,
        };
        if !makes {
            return Ok(None);
        }
        if self.siblings(&target.name, check::TOPICS)? >= check::TOPICS {
            let text = format!("the project has {} topics already", check::TOPICS);
            return Err(Error::exhausted(text).hint("use types and filters instead of more topics"));
        }
        self.give_number(&target.name).map(Some)
    }

    pub(super) fn topic_state(&mut self, keys: Keys) -> Result<State> {
        if let Some(state) = self.cache.topics.get(&keys) {
            return Ok(*state);
        }
        let state = self.get(&keys.state())?;
        let state = state.map(|bytes| State::decode(&bytes)).transpose()?;
        let state = state.unwrap_or_default();
        self.cache.topics.insert(keys, state);
        Ok(state)
    }

    pub(super) fn append(
        &mut self,
        keys: Keys,
        state: &mut State,
        message: Message,
        until_us: u64,
    ) -> Result<Appended> {
        if let Some(key) = &message.key
            && let Some(bytes) = self.get(&keys.remembered(key))?
        {
            let (position, until_us) = codec::read_pair(&bytes)?;
            if until_us > self.now_us {
                let position = Position(position);
                return Ok(Appended {
                    position,
                    duplicate: true,
                });
            }
        }
        state.last += 1;
        // A clock that goes back makes nobody older than who came before.
        state.newest_us = state.newest_us.max(self.now_us);
        if state.first == state.last {
            state.oldest_us = state.newest_us;
        }
        state.bytes += message.weight();
        if let Some(key) = &message.key {
            self.put(keys.remembered(key), codec::pair(state.last, until_us));
            self.put(keys.forget(until_us, key), Vec::new());
        }
        let stored = Stored {
            published_us: state.newest_us,
            message,
        };
        self.put(keys.logged(state.last), stored.encode());
        Ok(Appended {
            position: Position(state.last),
            duplicate: false,
        })
    }

    /// Forgets what is over age or size, the oldest first; some of it.
    pub(super) fn trim(
        &mut self,
        keys: Keys,
        settings: &TopicSettings,
        state: &mut State,
        most: usize,
    ) -> Result<u64> {
        let over = |state: &State, now_us| {
            state.first <= state.last
                && check::is_over(settings, state.bytes, state.oldest_us, now_us)
        };
        let (mut count, enough) = (0, enough(state));
        while count < most as u64 && state.bytes > enough && over(state, self.now_us) {
            self.drop_first(keys, state)?;
            count += 1;
        }
        Ok(count)
    }

    /// Removes events up to a position; some of them.
    fn cut(&mut self, keys: Keys, state: &mut State, upto: Position, most: usize) -> Result<u64> {
        let (mut count, enough) = (0, enough(state));
        while count < most as u64 && state.bytes > enough && state.first <= state.last.min(upto.0) {
            self.drop_first(keys, state)?;
            count += 1;
        }
        Ok(count)
    }

    fn drop_first(&mut self, keys: Keys, state: &mut State) -> Result<()> {
        let key = keys.logged(state.first);
        let bytes = self.get(&key)?.ok_or_else(codec::damaged)?;
        let weight = Stored::decode(&bytes)?.message.weight();
        self.delete(key);
        state.first += 1;
        state.bytes = state.bytes.saturating_sub(weight);
        state.oldest_us = match state.first <= state.last {
            true => self.published_us(keys, state.first)?,
            false => 0,
        };
        Ok(())
    }

    fn published_us(&self, keys: Keys, position: u64) -> Result<u64> {
        let bytes = self.get(&keys.logged(position))?;
        codec::published_us(&bytes.ok_or_else(codec::damaged)?)
    }

    /// Keys whose time is up.
    fn forget(&mut self, keys: Keys, most: usize) -> Result<u64> {
        let (from, to) = keys.to_forget(self.now_us);
        let due = self.scan(&from, &to, most)?.items;
        let count = due.len() as u64;
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
        Ok(count)
    }

    fn find(&self, keys: Keys, state: &State, start: Start) -> Result<Position> {
        check::cursor(start, state.first, state.last, |time_us| {
            check::since(state.first, state.last, time_us, |position| {
                self.published_us(keys, position)
            })
        })
    }

    fn cursor(&self, keys: Keys, name: &str) -> Result<Cursor> {
        let bytes = self.get(&keys.cursor(name))?;
        Cursor::decode(&bytes.ok_or_else(|| check::unknown(name))?)
    }

    fn subscribe(&mut self, keys: Keys, state: &State, name: &str, start: Start) -> Result<Done> {
        if let Some(bytes) = self.get(&keys.cursor(name))? {
            let cursor = Cursor::decode(&bytes)?;
            return Ok(Done::Subscription(cursor.show(name.to_owned(), state)));
        }
        let (from, to) = keys.all_cursors();
        let most = check::SUBSCRIPTIONS;
        if self.scan(&from, &to, most)?.items.len() >= most {
            return Err(check::too_many());
        }
        let cursor = Cursor {
            at: self.find(keys, state, start)?,
            ..Cursor::default()
        };
        self.put(keys.cursor(name), cursor.encode());
        self.cache.listened.clear();
        Ok(Done::Subscription(cursor.show(name.to_owned(), state)))
    }

    fn step(
        &mut self,
        keys: Keys,
        state: &State,
        step: Forward,
        queue: &queue::Target,
    ) -> Result<Done> {
        let mut cursor = self.cursor(keys, &step.name)?;
        if cursor.at != step.from {
            return Err(check::moved(cursor.at));
        }
        check::step(step.from, step.to, state.last)?;
        cursor.at = step.to;
        cursor.missed += step.missed;
        cursor.forwarded += step.messages.len() as u64;
        if !step.messages.is_empty() {
            self.hand_over(queue, step.messages)?;
        }
        self.put(keys.cursor(&step.name), cursor.encode());
        Ok(Done::Forwarded)
    }

    /// Cursors before a position go there.
    fn move_behind(&mut self, keys: Keys, position: Position) -> Result<()> {
        let (from, to) = keys.all_cursors();
        for (key, value) in self.scan(&from, &to, check::SUBSCRIPTIONS)?.items {
            let mut cursor = Cursor::decode(&value)?;
            if cursor.at < position {
                cursor.at = position;
                self.put(key, cursor.encode());
            }
        }
        Ok(())
    }
}

/// What a topic that was never made answers.
fn none(op: Op, settings: &TopicSettings) -> Result<Done> {
    match op {
        Op::Publish { events, .. } => {
            // Only what is more than it could ever keep makes no topic.
            check::room(settings, 0, &events)?;
            Ok(Done::Appended(Vec::new()))
        }
        Op::Subscribe { name, .. } | Op::Seek { name, .. } => Err(check::unknown(&name)),
        Op::Forward(step, _) => Err(check::unknown(&step.name)),
        Op::Unsubscribe(_) => Ok(Done::Was(false)),
        Op::Purge { .. } | Op::Sweep { .. } => Ok(Done::Count(0)),
    }
}

/// How many bytes a topic has left after one step of forgetting: everybody else's writes wait meanwhile.
fn enough(state: &State) -> u64 {
    state.bytes.saturating_sub(sizes::LOOK_BYTES)
}

#[cfg(test)]
mod tests {
    use crate::queue::keys;

    #[test]
    fn topics_and_queues_of_one_name_never_meet() {
        use gust_types::{Label, ProjectName};
        let (project, name) = (ProjectName::default_project(), Label::new("a").unwrap());
        let (queue, topic) = (keys::queue(&project, &name), keys::topic(&project, &name));
        assert_ne!(queue, topic);
        let (from, to) = keys::names(keys::TOPIC, &project);
        assert!(from < topic && topic < to);
        assert!(!(from < queue && queue < to));
    }
}
